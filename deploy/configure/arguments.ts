// The command line of `configure`: flags, and a value for each parameter. Pure.

import { parseArgs, type ParseArgsConfig } from "node:util";

import { parameters, type Values } from "./parameters";

export interface Arguments {
  readonly interactive: boolean;
  /** Begin with the values that are stored. */
  readonly load: boolean;
  /** Leave AWS alone: read and write the file only. */
  readonly test: boolean;
  readonly remove: boolean;
  readonly help: boolean;
  readonly verbose: boolean;
  /** The file to use instead of config.cache.json. */
  readonly cache?: string;
  readonly values: Values;
}

const FLAGS = {
  interactive: { type: "boolean", short: "i" },
  load: { type: "boolean", short: "l" },
  test: { type: "boolean", short: "t" },
  delete: { type: "boolean", short: "d" },
  help: { type: "boolean", short: "h" },
  verbose: { type: "boolean", short: "v" },
  cache: { type: "string" },
} satisfies ParseArgsConfig["options"];

export function argumentsFrom(argv: readonly string[]): Arguments {
  const options: NonNullable<ParseArgsConfig["options"]> = { ...FLAGS };
  for (const { name, cliFormat } of parameters) {
    // The original's manual has both spellings.
    options[name] = { type: "string" };
    options[cliFormat] = { type: "string" };
  }
  const typed = parseArgs({ args: [...argv], options, strict: true }).values;
  const values: Record<string, string> = {};
  for (const { name, cliFormat } of parameters) {
    const value = typed[cliFormat] ?? typed[name];
    if (typeof value === "string") values[name] = value;
  }
  return {
    interactive: typed["interactive"] === true,
    load: typed["load"] === true,
    test: typed["test"] === true,
    remove: typed["delete"] === true,
    help: typed["help"] === true,
    verbose: typed["verbose"] === true,
    ...(typeof typed["cache"] === "string" && { cache: typed["cache"] }),
    values,
  };
}

export function usage(): string {
  const width = Math.max(...parameters.map(({ cliFormat }) => cliFormat.length));
  const lines = parameters.map(({ cliFormat, description, defaultValue, parent }) => {
    const notes = [
      ...(defaultValue === undefined ? [] : [`default ${defaultValue}`]),
      ...(parent === undefined ? [] : [`counts if ${parent} is true`]),
    ];
    const note = notes.length > 0 ? ` (${notes.join("; ")})` : "";
    return `  --${cliFormat.padEnd(width)}  ${description}${note}`;
  });
  return `usage: npx tsx configure/main.ts [FLAGS] [--PARAMETER=VALUE ...]

Stores the parameters of the deployment in Parameter Store, and in config.cache.json.

  -i, --interactive   ask for each parameter
  -l, --load          begin with the values that are stored
  -t, --test          leave AWS alone: read and write only config.cache.json
  -d, --delete        delete all parameters, and config.cache.json
  -v, --verbose       say more
  -h, --help          show this
      --cache=FILE    use this file instead of config.cache.json

Each parameter may be given by its name in config.params.json, too.
At the prompt, Enter keeps what stands in brackets, and not-defined removes it.

${lines.join("\n")}
`;
}
