/**
 * The templates of a synthesis as one list of resources, whose references are
 * resolved across nested stacks: what is known when it is deployed only becomes the
 * path of the construct, as `{Recording/Task/TaskRole.Arn}`.
 * It must not know the product.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { cx_api } from "aws-cdk-lib";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Object = { readonly [key: string]: Json };

export interface Resource {
  /** The name of the stack that is deployed, which nested ones are part of. */
  readonly stack: string;
  readonly id: string;
  /** Where its construct is, below the stack. */
  readonly path: string;
  readonly type: string;
  readonly properties: Object;
  /** The other attributes, such as DeletionPolicy. */
  readonly attributes: Object;
}

interface Template {
  readonly folder: string;
  readonly stack: string;
  readonly pseudo: Readonly<Record<string, string>>;
  readonly resources: Object;
  readonly outputs: Object;
  /** What the parent handed over. */
  readonly parameters: Object;
  readonly nested: Map<string, Template>;
}

export class Assembly {
  readonly resources: readonly Resource[];
  readonly outputs: Readonly<Record<string, Json>>;
  /** By their names. */
  readonly stacks: Readonly<
    Record<string, { readonly region: string; readonly dependencies: readonly string[] }>
  >;

  constructor(assembly: cx_api.CloudAssembly) {
    this.stacks = Object.fromEntries(
      assembly.stacksRecursively.map(({ stackName, environment, dependencies }) => [
        stackName,
        {
          region: environment.region,
          dependencies: dependencies.flatMap((other) => ("stackName" in other ? [String(other.stackName)] : [])),
        },
      ]),
    );
    const roots = assembly.stacksRecursively.map((artifact) =>
      load({
        folder: join(artifact.templateFullPath, ".."),
        stack: artifact.stackName,
        file: artifact.templateFullPath,
        parameters: {},
        pseudo: {
          "AWS::AccountId": artifact.environment.account,
          "AWS::Region": artifact.environment.region,
          "AWS::Partition": "aws",
          "AWS::URLSuffix": "amazonaws.com",
        },
      }),
    );
    this.resources = roots.flatMap((root) => [...resources(root)]);
    this.outputs = Object.fromEntries(
      roots.flatMap((root) =>
        Object.entries(root.outputs).map(([name, output]) => [name, resolve(at(output, "Value"), root)]),
      ),
    );
  }

  all(type: string): readonly Resource[] {
    return this.resources.filter((resource) => resource.type === type);
  }

  /** The only one of its type whose path ends so. */
  one(type: string, path = ""): Resource {
    const found = this.all(type).filter((resource) => resource.path.endsWith(path));
    const [first] = found;
    if (first === undefined || found.length > 1) {
      const paths = this.all(type).map((resource) => resource.path);
      throw new Error(`${found.length} of ${type} end with "${path}": ${paths.join(", ")}`);
    }
    return first;
  }
}

/** What is at the end of a way through objects; null if the way ends before. */
export function at(json: Json | undefined, ...way: readonly (string | number)[]): Json {
  let here: Json | undefined = json;
  for (const step of way) {
    if (Array.isArray(here) && typeof step === "number") here = here[step] as Json | undefined;
    else if (isObject(here)) here = here[step];
    else return null;
  }
  return here ?? null;
}

export function isObject(json: Json | undefined): json is Object {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** A list, of a property that may be one value instead of a list with one. */
export function list(json: Json): readonly Json[] {
  if (json === null) return [];
  return Array.isArray(json) ? (json as readonly Json[]) : [json];
}

interface Source {
  readonly folder: string;
  readonly stack: string;
  readonly file: string;
  readonly parameters: Object;
  readonly pseudo: Template["pseudo"];
}

function load({ file, ...source }: Source): Template {
  const read = JSON.parse(readFileSync(file, "utf8")) as Json;
  const object = (key: string): Object => {
    const value = at(read, key);
    return isObject(value) ? value : {};
  };
  const template: Template = {
    ...source,
    resources: object("Resources"),
    outputs: object("Outputs"),
    nested: new Map(),
  };
  // In this order: what is handed over may come from a stack beside it.
  let waiting = Object.entries(template.resources).filter(
    ([, resource]) => at(resource, "Type") === "AWS::CloudFormation::Stack",
  );
  while (waiting.length > 0) {
    const ready = waiting.filter(([id, resource]) =>
      waiting.every(
        ([other]) => other === id || !JSON.stringify(resource).includes(`"${other}","Outputs.`),
      ),
    );
    if (ready.length === 0) throw new Error(`nested stacks of ${file} need each other`);
    for (const [id, resource] of ready) {
      const given = at(resource, "Properties", "Parameters");
      const handed = Object.entries(isObject(given) ? given : {});
      template.nested.set(
        id,
        load({
          ...source,
          file: join(source.folder, String(at(resource, "Metadata", "aws:asset:path"))),
          parameters: Object.fromEntries(
            handed.map(([name, value]) => [name, resolve(value, template)]),
          ),
        }),
      );
    }
    waiting = waiting.filter((entry) => !ready.includes(entry));
  }
  return template;
}

function* resources(template: Template): Generator<Resource> {
  for (const [id, resource] of Object.entries(template.resources)) {
    if (!isObject(resource)) continue;
    const { Type: type, Properties: properties, Metadata: _, ...attributes } = resource;
    const resolved = resolve(properties ?? {}, template);
    yield {
      stack: template.stack,
      id,
      path: path(resource, id),
      type: String(type),
      properties: isObject(resolved) ? resolved : {},
      attributes,
    };
  }
  for (const nested of template.nested.values()) yield* resources(nested);
}

function path(resource: Json | undefined, id: string): string {
  const full = at(resource, "Metadata", "aws:cdk:path");
  if (typeof full !== "string") return id;
  const steps = full.split("/").filter((step) => step !== "Resource");
  const stack = steps.findIndex((step) => step.startsWith("Cdk"));
  return steps.slice(stack + 1).join("/");
}

/** A name for what is known only when it is deployed. */
function unknown(id: string, template: Template): string {
  return path(template.resources[id], id);
}

function resolve(json: Json, template: Template): Json {
  if (Array.isArray(json)) return (json as readonly Json[]).map((item) => resolve(item, template));
  if (!isObject(json)) return json;
  const entries = Object.entries(json);
  const [first] = entries;
  if (entries.length === 1 && first !== undefined) {
    const [name, argument] = first;
    if (name === "Ref" && typeof argument === "string") return reference(argument, template);
    if (name === "Fn::GetAtt") return attribute(argument, template);
    if (name === "Fn::Join") {
      const parts = list(resolve(at(argument, 1), template));
      if (parts.every((part) => typeof part === "string")) {
        return parts.join(String(at(argument, 0)));
      }
    }
    if (name === "Fn::Sub" && typeof argument === "string") {
      return argument.replace(/\$\{([^}]+)\}/g, (_, id: string) =>
        String(reference(id, template)),
      );
    }
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, resolve(value, template)]));
}

function reference(id: string, template: Template): Json {
  const known = template.pseudo[id] ?? template.parameters[id];
  if (known !== undefined) return known;
  return `{${unknown(id, template)}}`;
}

function attribute(argument: Json, template: Template): Json {
  const [id, name] = list(argument).map(String);
  if (id === undefined || name === undefined) throw new Error("GetAtt without a name");
  const nested = template.nested.get(id);
  if (nested !== undefined && name.startsWith("Outputs.")) {
    const output = nested.outputs[name.slice("Outputs.".length)];
    return resolve(at(output, "Value"), nested);
  }
  return `{${unknown(id, template)}.${name}}`;
}
