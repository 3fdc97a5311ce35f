// Compressed copies of the page's files for the server to hand out: made once here, as small as they get.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const page = new URL("../recon/viewer/page/", import.meta.url);
for (const name of readdirSync(page)) {
    if (!/\.(js|css)$/.test(name)) continue;
    const data = readFileSync(new URL(name, page));
    writeFileSync(new URL(`${name}.br`, page), brotliCompressSync(data));
    writeFileSync(new URL(`${name}.gz`, page), gzipSync(data, { level: 9 }));
}
