/** The product, synthesised without Rust, Docker or an account, as the tests want it. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "aws-cdk-lib";
import { backendStacks } from "../../lib/backend-stage";
import { settingsFrom, type RecordingSettings, type Settings } from "../../lib/settings";
import { SOURCES } from "../../lib/sources";
import { Assembly } from "./assembly";

export const ENV = { account: "111122223333", region: "eu-central-1" } as const;

export const project = join(import.meta.dirname, "../..");
export const repository = join(project, "..");

/** Those of the example, or others in their place. */
export function exampleSettings(recording: Partial<RecordingSettings> = {}): Settings {
  const file = join(project, "config.example.json");
  const settings = settingsFrom(JSON.parse(readFileSync(file, "utf8")) as Record<string, string>);
  if (settings.recording === undefined) throw new Error("the example has no recording");
  return { ...settings, recording: { ...settings.recording, ...recording } };
}

/** An app with the project's own context. */
export function app(context: Record<string, unknown> = {}): App {
  const { context: flags } = JSON.parse(readFileSync(join(project, "cdk.json"), "utf8")) as {
    readonly context: Record<string, unknown>;
  };
  return new App({
    context: {
      ...flags,
      // As the CDK CLI sets them.
      "aws:cdk:enable-asset-metadata": true,
      "aws:cdk:enable-path-metadata": true,
      [SOURCES.repository]: standInRepository(),
      [SOURCES.lambdas]: join(project, "no-such-folder"),
      [SOURCES.placeholders]: true,
      ...context,
    },
    analyticsReporting: false,
    outdir: mkdtempSync(join(tmpdir(), "recorder-synth-")),
  });
}

export function synthesised(
  settings = exampleSettings(),
  context: Record<string, unknown> = {},
): Assembly {
  const made = app(context);
  backendStacks(made, settings, ENV);
  return new Assembly(made.synth());
}

/** The real one has folders that take long to read, and are no matter of templates. */
export function standInRepository(): string {
  const folder = mkdtempSync(join(tmpdir(), "recorder-repository-"));
  mkdirSync(join(folder, "docker"));
  writeFileSync(join(folder, "docker", "Dockerfile"), "FROM scratch\n");
  writeFileSync(join(folder, ".dockerignore"), "*\n!Cargo.toml\n");
  writeFileSync(join(folder, "Cargo.toml"), "[workspace]\n");
  writeFileSync(join(folder, "secret"), "not for the image\n");
  return folder;
}
