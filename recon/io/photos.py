"""The photos that a user named, and which of them a camera file means by a path."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from recon.errors import ReconError
from recon.io.files import PHOTO_SUFFIXES, is_photo, list_folder, list_photos, shorten

PHOTO_FOLDERS = ("images", "image", "rgb")
"""Names of the folder of photos inside a capture."""

_SCALED = re.compile(r"images_\d+")


@dataclass(frozen=True)
class PhotoSet:
    """A folder of photos (or of a whole capture), or a list of photo files."""

    folder: Path | None
    """The folder, which may hold photos directly or in subfolders; None for a list."""
    files: tuple[Path, ...]
    """The listed files, or the photos that lie directly in `folder`, in plain name order."""

    @staticmethod
    def of(images: Path | str | Sequence[Path | str]) -> PhotoSet:
        """What `images` names: a folder, one file, a glob pattern such as photos/*.jpg, or a list of files."""
        if isinstance(images, str | Path):
            folder = Path(images).expanduser()
            if folder.is_dir() or not (_is_pattern(folder) or folder.is_file()):
                return PhotoSet(folder, tuple(list_photos(folder)))
            images = [images]
        return PhotoSet(None, tuple(_expanded(images)))

    @property
    def where(self) -> str:
        """The set as messages name it."""
        return str(self.folder) if self.folder else "the list of photos"

    def camera_places(self) -> list[Path]:
        """Folders in which the camera files of these photos are looked for: beside them and one level up."""
        folders = [self.folder] if self.folder else list(dict.fromkeys(path.parent for path in self.files))
        # A lone ".." would leave a relative path's own folder, so the parent of "." is the absolute one.
        parents = [folder.absolute().parent if folder.name in ("", "..") else folder.parent for folder in folders]
        return list(dict.fromkeys([*folders, *parents]))

    def in_order(self) -> list[Path]:
        """All photos in plain name order, for formats that pair cameras with photos by position.

        In a capture's folder those in images (image, rgb), else those in the images_N of smallest N, else its own.
        """
        if self.folder is None:
            return list(self.files)
        names = {entry.name for entry in list_folder(self.folder) if entry.is_dir()}
        scaled = sorted((n for n in names if _SCALED.fullmatch(n)), key=lambda n: int(n.split("_")[1]))
        for name in (*PHOTO_FOLDERS, *scaled):
            if name in names and (photos := list_photos(self.folder / name)):
                return photos
        if not self.files:
            raise self.none_found()
        return list(self.files)

    def none_found(self) -> ReconError:
        """The message for a set without a single photo."""
        return ReconError(
            f"{self.where}: no photos",
            wanted="files that end in " + " ".join(PHOTO_SUFFIXES),
            fix="set images to the folder that holds them",
        )

    def find_all(self, listed: Sequence[str], base: Path) -> list[Path | None]:
        """The photo for each path that a camera file lists, None where there is none.

        `base` is the folder that the paths start from. When a listed path leads to photos of this set, paths are
        taken as they are. When none does (the photos were moved, or scaled into another folder), they are matched by
        their end: a/b/c.jpg as a/b/c.jpg, b/c.jpg or c.jpg within the set.
        """
        exact = [self._within(base / name) for name in listed]
        return exact if any(exact) else [self._by_end(name) for name in listed]

    def scaled_copies(self, listed: Sequence[str]) -> list[Path | None]:
        """The photo for each path that a camera file lists, in a folder images_N whose files have other names.

        Scaled copies, such as those of LLFF's captures, are numbered in the order of the originals' names. None for
        each where the photos lie elsewhere or are more or fewer.
        """
        photos = self.in_order()
        if len(photos) != len(listed) or not _SCALED.fullmatch(photos[0].parent.name):
            return [None] * len(listed)
        of = dict(zip(sorted(listed), photos, strict=True))
        return [of[name] for name in listed]

    def _within(self, path: Path) -> Path | None:
        for candidate in _with_endings(path):
            if not candidate.is_file():
                continue
            resolved = candidate.resolve()
            if self.folder is not None:
                if resolved.is_relative_to(self.folder.resolve()) or candidate.is_relative_to(self.folder):
                    return candidate
            elif resolved in self._resolved:
                return self._resolved[resolved]
        return None

    @cached_property
    def _resolved(self) -> dict[Path, Path]:
        return {path.resolve(): path for path in self.files}

    def _by_end(self, name: str) -> Path | None:
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..")]
        for start in range(len(parts)):
            end = PurePosixPath(*parts[start:])
            if self.folder is not None:
                hit = next((path for path in _with_endings(self.folder / end) if path.is_file()), None)
            else:
                endings = {path.parts for path in _with_endings(Path(end))}
                hits = [path for path in self.files if path.parts[-len(end.parts) :] in endings]
                hit = hits[0] if len(hits) == 1 else None
            if hit is not None:
                return hit
        return None


@dataclass(frozen=True)
class MaskFolder:
    """A folder of masks named like the photos."""

    folder: Path

    def __post_init__(self) -> None:
        list_folder(self.folder)

    def find(self, photo: Path) -> Path | None:
        """Mask for a/b/c.jpg: b/c.jpg.png, b/c.png or b/c.jpg below the folder (any image ending), else without b."""
        for depth in (3, 2, 1):
            end = Path(*photo.absolute().parts[-depth:])
            candidates = [self.folder / f"{end}{suffix}" for suffix in PHOTO_SUFFIXES]
            candidates += [self.folder / end.with_suffix(suffix) for suffix in (".png", *PHOTO_SUFFIXES)]
            for path in candidates:
                if path.is_file() and path.resolve() != photo.resolve():
                    return path
        return None

    def for_all(self, photos: Iterable[Path]) -> dict[Path, Path]:
        """The mask of each photo; an error when any has none."""
        found = {photo: self.find(photo) for photo in photos}
        without = [photo.name for photo, mask in found.items() if mask is None]
        if without:
            raise ReconError(
                f"{self.folder}: {len(without)} of {len(found)} photos have no mask",
                found=f"none for {shorten(without)}",
                wanted=f"a file such as {Path(without[0]).stem}.png for each",
                fix="add the masks (white where a photo counts) or leave `masks` out",
            )
        return {photo: mask for photo, mask in found.items() if mask is not None}


def _with_endings(path: Path) -> Iterator[Path]:
    """`path`, or, when it does not end like a photo, `path` with each ending; PNG first, as Blender writes it."""
    if is_photo(path):
        yield path
        return
    for suffix in (".png", *PHOTO_SUFFIXES):
        for spelling in (suffix, suffix.upper()):
            yield path.with_name(path.name + spelling)


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path))


def _expanded(images: Iterable[Path | str]) -> list[Path]:
    """Files of a list whose entries may be patterns, without repeats, in plain name order."""
    found: list[Path] = []
    for entry in images:
        path = Path(entry).expanduser()
        if path.is_file():
            if not is_photo(path):
                raise ReconError(f"{path}: not a photo", wanted="a file that ends in " + " ".join(PHOTO_SUFFIXES))
            found.append(path)
            continue
        if not _is_pattern(path):
            raise ReconError(f"{path}: photo does not exist", fix="check the entry of images")
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns)
        photos = [match for match in matches if is_photo(match) and match.is_file()]
        if not photos:
            raise ReconError(f"{path}: no photo matches this pattern", fix="check images")
        found += photos
    return sorted(dict.fromkeys(found))
