// Asks a person for the parameters, one after the other.

import { createInterface } from "node:readline/promises";
import type { Readable, Writable } from "node:stream";

import { NOT_DEFINED, applies, parameters, problemOf, type Values } from "./parameters";

/** Asks for those that count, and again until a value is right. */
export async function ask(known: Values, input: Readable, output: Writable): Promise<Values> {
  const terminal = createInterface({ input });
  // By iterator, as `question` loses lines that come before it is asked.
  const lines = terminal[Symbol.asyncIterator]();
  const values: Record<string, string> = { ...known };
  try {
    for (const parameter of parameters) {
      if (!applies(parameter, values)) continue;
      output.write(`\n${parameter.description}\n`);
      for (;;) {
        const current = values[parameter.name];
        output.write(`${parameter.cliFormat}${current === undefined ? "" : ` [${current}]`}: `);
        const line = await lines.next();
        if (line.done === true) {
          throw new Error(`The input ended before an answer for ${parameter.cliFormat}`);
        }
        const answer = line.value.trim() === "" ? current : line.value.trim();
        const problem = answerProblem(parameter, answer);
        if (problem === undefined) {
          keep(values, parameter.name, answer, parameter.defaultValue);
          break;
        }
        output.write(`${problem}\n`);
      }
    }
  } finally {
    terminal.close();
  }
  return values;
}

type Asked = (typeof parameters)[number];

function answerProblem(parameter: Asked, answer: string | undefined): string | undefined {
  if (answer !== undefined && answer !== NOT_DEFINED) return problemOf(parameter, answer);
  return parameter.required && parameter.defaultValue === undefined
    ? "This one is needed."
    : undefined;
}

function keep(
  values: Record<string, string>,
  name: string,
  answer: string | undefined,
  defaultValue: string | undefined,
): void {
  const value = answer === NOT_DEFINED ? defaultValue : answer;
  if (value === undefined) delete values[name];
  else values[name] = value;
}
