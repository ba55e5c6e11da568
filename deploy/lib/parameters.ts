/**
 * Where a synthesis finds its parameters. The order: a file that was named, the cache
 * of `npm run configure`, Parameter Store, and without an account an example.
 */
import { readCache } from "../configure/cache";
import type { Values } from "../configure/parameters";

export interface Places {
  /** As given with `-c config=FILE`. */
  readonly named?: string | undefined;
  readonly cache: string;
  readonly example: string;
  /** Whether something could be deployed. */
  readonly hasAccount: boolean;
  readonly stored: () => Promise<Values | undefined>;
  /** Tells whoever synthesises. */
  readonly say: (line: string) => void;
}

export async function findParameters(places: Places): Promise<Values> {
  if (places.named !== undefined) return need(places.named);
  const cached = readCache(places.cache);
  if (cached !== undefined) return cached;
  // Without an account there is nobody to ask.
  if (places.hasAccount) {
    const stored = await places.stored();
    if (stored !== undefined) return stored;
    throw new Error("nothing is configured for this account and region: npm run configure");
  }
  places.say(`No account, nothing configured: the values are those of ${places.example}`);
  return need(places.example);
}

function need(file: string): Values {
  const values = readCache(file);
  if (values === undefined) throw new Error(`${file} is not there`);
  return values;
}
