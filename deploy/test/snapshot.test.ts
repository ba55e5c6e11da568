/**
 * The one picture of everything that is deployed: a change of it has to be meant.
 * To renew it: `npx vitest run test/snapshot.test.ts --update`.
 */
import { expect, test } from "vitest";
import { synthesised } from "./support/product";

test("the resources are those that were last agreed on", async () => {
  const text = JSON.stringify(synthesised().resources, undefined, 1)
    // Assets are other ones whenever anything is built anew.
    .replace(/\b[0-9a-f]{64}\b/g, "{ASSET}");
  await expect(`${text}\n`).toMatchFileSnapshot("snapshots/resources.json");
});
