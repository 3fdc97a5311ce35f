"""The command `recon`. Every subcommand is a dataclass in a file of its own; what it needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from recon.cli.bench import Bench
from recon.cli.doctor import Doctor
from recon.cli.eval import Eval
from recon.cli.export import Export
from recon.cli.import_ import Import
from recon.cli.info import Info
from recon.cli.mask import Mask
from recon.cli.prior import Prior
from recon.cli.render import Render
from recon.cli.run import Run
from recon.cli.view import View
from recon.errors import ReconError

Command = (
    Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Eval, tyro.conf.subcommand("eval")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[Mask, tyro.conf.subcommand("mask")]
    | Annotated[Prior, tyro.conf.subcommand("prior")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Bench, tyro.conf.subcommand("bench")]
)

NERFSTUDIO = ("ns-train", "ns-eval", "ns-render", "ns-export", "ns-viewer")
"""Commands of nerfstudio that `recon` starts where they do not start by themselves, see docs/nerfstudio.md."""
MISTAKE = 2
"""Exit code for mistakes of the user, with one message and no traceback."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. Faults of this package keep their traceback.

    Raises SystemExit for `--help` (0) and for arguments that do not parse (2).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Read when torch is loaded. Torch's threads would otherwise spin after every operation and take the processor away
    # from the core's own: a training iteration takes 1.7 times as long on two cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        if arguments and arguments[0] in NERFSTUDIO:
            from recon.plugins.launcher import launch

            return launch(arguments)
        if Bench.takes(arguments):
            return Bench.parse(arguments).run(arguments)
        command: Command = tyro.cli(
            Command,  # type: ignore[arg-type]
            prog="recon",
            description="A few photos in, a 3D scene out.",
            args=arguments,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        return command.run(arguments)
    except ReconError as error:
        print(f"recon: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("recon: interrupted; what was published before is unharmed", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # `recon info | head`: the reader left. Nothing more can be said on this pipe, not even at exit.
        sys.stdout = None  # type: ignore[assignment]
        return 1


if __name__ == "__main__":
    sys.exit(main())
