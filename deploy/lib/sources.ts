/**
 * Where a synthesis takes things from, as `bin/app.ts` said in the app's context.
 * Below it nothing reads a variable of the environment.
 */
import { DockerImageAsset, Platform } from "aws-cdk-lib/aws-ecr-assets";
import { ContainerImage } from "aws-cdk-lib/aws-ecs";
import { IgnoreMode } from "aws-cdk-lib";
import type { Construct } from "constructs";

/** Keys of the context. */
export const SOURCES = {
  /** The root of this repository: what the image is built from. */
  repository: "repository",
  /** The folder with a folder for each built Lambda. */
  lambdas: "lambdas",
  /** Whether a Lambda may be missing: only where nothing can be deployed. */
  placeholders: "placeholders",
  /** For an emulator of AWS, which knows no NAT gateways and capacity providers. */
  emulated: "emulated",
} as const;

export function isEmulated(scope: Construct): boolean {
  return flag(scope, SOURCES.emulated);
}

export function mayUsePlaceholders(scope: Construct): boolean {
  return flag(scope, SOURCES.placeholders);
}

export function folder(scope: Construct, key: "repository" | "lambdas"): string {
  const value: unknown = scope.node.tryGetContext(SOURCES[key]);
  if (typeof value === "string") return value;
  throw new Error(`the context has no "${key}": bin/app.ts says where it is`);
}

/** The recorder's image, built by whoever deploys. An emulator pulls none. */
export function recorderImage(scope: Construct): ContainerImage {
  if (isEmulated(scope)) return ContainerImage.fromRegistry("recorder");
  const image = new DockerImageAsset(scope, "recordingDockerImage", {
    directory: folder(scope, "repository"),
    file: "docker/Dockerfile",
    platform: Platform.LINUX_AMD64,
    ignoreMode: IgnoreMode.DOCKER,
    // Beside .dockerignore, which knows what belongs to the image: the library sends a
    // Dockerfile that it leaves out only if it is at the root.
    exclude: [".git", "**/node_modules", "!docker/Dockerfile"],
  });
  return ContainerImage.fromDockerImageAsset(image);
}

// The command line gives texts, a program gives values.
function flag(scope: Construct, key: string): boolean {
  const value: unknown = scope.node.tryGetContext(key);
  return value === true || value === "true";
}
