// One page, one script, relative addresses: it opens from any folder.
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  // The SDK was written for a bundler with Node's global.
  define: { global: "globalThis" },
  build: { target: "firefox128", assetsInlineLimit: 0, chunkSizeWarningLimit: 4000 },
});
