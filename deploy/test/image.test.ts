/** What is sent to whoever builds the recorder's image. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backendStacks } from "../lib/backend-stage";
import { app, ENV, exampleSettings } from "./support/product";

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
