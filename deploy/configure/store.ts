/**
 * Where the parameters are kept: Parameter Store, by path, as `String`.
 * It must not know what a parameter means.
 */
import { setTimeout as pause } from "node:timers/promises";
import {
  DeleteParametersCommand,
  GetParametersCommand,
  PutParameterCommand,
  SSMClient,
} from "@aws-sdk/client-ssm";

import { NOT_DEFINED, hierarchy, parameters, type Values } from "./parameters";

/** What GetParameters and DeleteParameters take in one call. */
const NAMES_IN_A_CALL = 10;

/** PutParameter has a low rate for each account: five, then a second of rest. */
const PUTS_AT_ONCE = 5;
const REST_BETWEEN_PUTS_MS = 1000;

export interface Store {
  /** Where it is, for a person. */
  place(): Promise<string>;
  /** What is stored, by name; empty if nothing is. */
  read(): Promise<Values>;
  /** Overwrites all parameters; those without a value become `not-defined`. */
  write(values: Values): Promise<void>;
  /** Removes all parameters, and says how many there were. */
  remove(): Promise<number>;
}

export class ParameterStore implements Store {
  readonly #client: SSMClient;

  /** Without a region, the one of the AWS configuration. */
  constructor(region?: string) {
    this.#client = new SSMClient(region === undefined ? {} : { region });
  }

  async place(): Promise<string> {
    return `Parameter Store of ${await this.#client.config.region()}, under ${hierarchy}`;
  }

  async read(): Promise<Values> {
    const values: Record<string, string> = {};
    for (const names of batches(paths(), NAMES_IN_A_CALL)) {
      const answer = await this.#client.send(new GetParametersCommand({ Names: names }));
      for (const { Name, Value } of answer.Parameters ?? []) {
        if (Name !== undefined && Value !== undefined) {
          values[Name.slice(hierarchy.length)] = Value;
        }
      }
    }
    return values;
  }

  async write(values: Values): Promise<void> {
    for (const [turn, batch] of batches(parameters, PUTS_AT_ONCE).entries()) {
      if (turn > 0) await pause(REST_BETWEEN_PUTS_MS);
      await Promise.all(
        batch.map(({ name, description }) =>
          this.#client.send(
            new PutParameterCommand({
              Name: `${hierarchy}${name}`,
              Value: values[name] ?? NOT_DEFINED,
              Description: description,
              Type: "String",
              Overwrite: true,
            }),
          ),
        ),
      );
    }
  }

  async remove(): Promise<number> {
    let removed = 0;
    for (const names of batches(paths(), NAMES_IN_A_CALL)) {
      const answer = await this.#client.send(new DeleteParametersCommand({ Names: names }));
      removed += answer.DeletedParameters?.length ?? 0;
    }
    return removed;
  }
}

function paths(): string[] {
  return parameters.map(({ name }) => `${hierarchy}${name}`);
}

function batches<T>(all: readonly T[], size: number): T[][] {
  const starts = Array.from({ length: Math.ceil(all.length / size) }, (_, turn) => turn * size);
  return starts.map((start) => all.slice(start, start + size));
}
