/** The program as the CDK CLI runs it: in both modes, without an account, and with one. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import cdk from "../cdk.json" with { type: "json" };
import { project, standInRepository } from "./support/product";

interface Ran {
  readonly status: number | null;
  readonly stderr: string;
  /** The names of the stacks, those of stages included. */
  readonly stacks: readonly string[];
}

/** Parameters of the example, some of them changed, in a file. */
function config(changed: Readonly<Record<string, string>> = {}): string {
  const file = join(mkdtempSync(join(tmpdir(), "recorder-config-")), "config.json");
  const example = JSON.parse(
    readFileSync(join(project, "config.example.json"), "utf8"),
  ) as Record<string, string>;
  const values = Object.entries(changed).map(([name, value]) => [`/VideoCallEscalation/${name}`, value]);
  writeFileSync(file, JSON.stringify({ ...example, ...Object.fromEntries(values) }));
  return file;
}

function run(file: string, variables: Readonly<Record<string, string>> = {}): Ran {
  const outdir = mkdtempSync(join(tmpdir(), "recorder-app-"));
  const context = {
    ...cdk.context,
    config: file,
    repository: standInRepository(),
    lambdas: join(outdir, "no-lambdas"),
  };
  const { status, stderr } = spawnSync(join(project, "node_modules/.bin/tsx"), ["bin/app.ts"], {
    cwd: project,
    encoding: "utf8",
    env: {
      PATH: process.env["PATH"],
      HOME: outdir,
      CDK_OUTDIR: outdir,
      CDK_CONTEXT_JSON: JSON.stringify(context),
      ...variables,
    },
  });
  return { status, stderr, stacks: status === 0 ? stacksIn(outdir) : [] };
}

function stacksIn(folder: string): string[] {
  const { artifacts } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as {
    artifacts: Record<string, { type: string; properties?: Record<string, string> }>;
  };
  return Object.values(artifacts).flatMap(({ type, properties }) => {
    if (type === "cdk:cloud-assembly") return stacksIn(join(folder, properties?.["directoryName"] ?? ""));
    return type === "aws:cloudformation:stack" ? [properties?.["stackName"] ?? ""] : [];
  });
}

test("without an account there are templates of the stacks", () => {
  const { status, stderr, stacks } = run(config());
  expect(status, stderr).toBe(0);
  expect(stacks).toEqual(["VideoCallEscalationBackend", "VideoCallEscalationChimeEventBridge"]);
});

test("without an account there are templates of the pipeline and of what it deploys", () => {
  const { status, stderr, stacks } = run(
    config({
      cdkPipelineEnabled: "true",
      cdkPipelineRepositoryName: "Calls",
      cdkPipelineRepositoryBranchName: "main",
      cdkPipelineStageName: "Prod",
    }),
  );
  expect(status, stderr).toBe(0);
  expect([...stacks].sort()).toEqual([
    "VideoCallEscalationBackend",
    "VideoCallEscalationChimeEventBridge",
    "VideoCallEscalationPipeline",
    // The library's own, for the artifacts of the stack in the other region.
    "VideoCallEscalationPipeline-support-us-east-1",
  ]);
});

test("recording can be switched off", () => {
  const { status, stderr, stacks } = run(config({ deployRecordingStack: "false" }));
  expect(status, stderr).toBe(0);
  expect(stacks).toEqual(["VideoCallEscalationBackend"]);
});

test("with an account nothing goes on without the Lambdas", () => {
  const { status, stderr } = run(config(), {
    CDK_DEFAULT_ACCOUNT: "444455556666",
    CDK_DEFAULT_REGION: "eu-west-1",
  });
  expect(status).not.toBe(0);
  expect(stderr).toContain("build it with ./dev lambdas");
});

test("with an account but no region it says what is missing", () => {
  const { status, stderr } = run(config(), { CDK_DEFAULT_ACCOUNT: "444455556666" });
  expect(status).not.toBe(0);
  expect(stderr).toContain("the backend needs a region");
});
