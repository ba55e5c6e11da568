/**
 * `npm run configure`: takes the parameters from the command line and a person, checks
 * them, and stores them. It must not know what they are used for.
 */
import { ask } from "./ask";
import { argumentsFrom, usage, type Arguments } from "./arguments";
import { CACHE_FILE, readCache, removeCache, writeCache } from "./cache";
import {
  applies,
  parameters,
  problems,
  withDefaults,
  NOT_DEFINED,
  type Values,
} from "./parameters";
import { ParameterStore, type Store } from "./store";

async function configure(args: Arguments, store: Store): Promise<void> {
  const file = args.cache ?? CACHE_FILE;
  if (args.remove) return remove(args, store, file);

  const loaded = args.load ? await load(args, store, file) : {};
  const given = withDefaults({ ...loaded, ...args.values });
  const values = args.interactive ? await ask(given, process.stdin, process.stdout) : given;

  print(values);
  const wrong = problems(values);
  if (wrong.length > 0) throw new Error(wrong.join("\n"));

  writeCache(file, values);
  console.log(`Written to ${file}`);
  if (args.test) return;
  const place = await reach(() => store.place());
  console.log(`Storing in ${place}, which takes some seconds`);
  await reach(() => store.write(values));
  console.log("Stored");
}

async function load(args: Arguments, store: Store, file: string): Promise<Values> {
  const values = args.test ? (readCache(file) ?? {}) : await reach(() => store.read());
  if (args.verbose) {
    const place = args.test ? file : await store.place();
    console.log(`Loaded ${Object.keys(values).length} values from ${place}`);
  }
  return values;
}

async function remove(args: Arguments, store: Store, file: string): Promise<void> {
  removeCache(file);
  console.log(`Removed ${file}`);
  if (args.test) return;
  const removed = await reach(() => store.remove());
  console.log(`Deleted ${removed} parameters from ${await store.place()}`);
}

function print(values: Values): void {
  console.log("\nParameters:");
  for (const parameter of parameters.filter((one) => applies(one, values))) {
    console.log(`  ${parameter.name}: ${values[parameter.name] ?? NOT_DEFINED}`);
  }
  console.log("");
}

/** Whatever AWS answers is no news to a person without what to do about it. */
async function reach<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(
      `Parameter Store cannot be used: ${message}\n` +
        "Check region and credentials with: aws sts get-caller-identity\n" +
        "To leave AWS alone and write only config.cache.json: npm run configure:test",
      { cause },
    );
  }
}

async function main(argv: readonly string[]): Promise<void> {
  let verbose = argv.includes("-v") || argv.includes("--verbose");
  try {
    const args = argumentsFrom(argv);
    verbose = args.verbose;
    if (args.help) console.log(usage());
    else await configure(args, new ParameterStore());
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(verbose ? error.stack : error.message);
    process.exitCode = 1;
  }
}

await main(process.argv.slice(2));
