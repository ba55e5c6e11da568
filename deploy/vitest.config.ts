// A whole synthesis takes seconds on a small machine, and vitest's own limit is five.
// Without isolation the CDK is loaded once for all files and not once for each, which
// is half of the time; the tests share nothing that changes.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // They need the Lambdas, and a whole deployment: npm run test:deployed.
    exclude: ["test/deployed/**"],
    globalSetup: "test/support/temporary.ts",
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
