import { defineConfig } from "vite";

export default defineConfig({
    base: "./",
    build: {
        outDir: "../recon/viewer/page",
        emptyOutDir: true,
        // One script and one style sheet with plain names, so that a self-contained page can be put together from them.
        assetsInlineLimit: 0,
        modulePreload: false,
        chunkSizeWarningLimit: 4096,
        rollupOptions: { output: { entryFileNames: "viewer-[hash].js", assetFileNames: "viewer-[hash][extname]" } },
    },
    worker: { format: "iife" },
    // `npm run dev` shows the scene that a `recon view OUT --port 8017` beside it serves.
    server: { proxy: { "/scene": "http://127.0.0.1:8017", "/api": "http://127.0.0.1:8017" } },
});
