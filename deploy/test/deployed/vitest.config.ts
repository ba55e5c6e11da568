// One deployment for all tests, which takes half a minute of two cores.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/deployed/*.test.ts"],
    globalSetup: "test/support/temporary.ts",
    testTimeout: 60_000,
    hookTimeout: 180_000,
  },
});
