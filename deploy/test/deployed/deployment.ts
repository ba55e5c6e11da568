/**
 * The product in an emulator of AWS, as `cdk bootstrap` and `cdk deploy` put it there,
 * with the Lambdas of this machine. It must not know what is asked of it.
 */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { RIGHTS } from "../../lib/rights";
import { startMinistack } from "../ministack";
import { at, isObject, list, type Json } from "../support/assembly";
import { project, repository } from "../support/product";
import { call, type Answer, type Call, type Keys, type Place } from "./signed";

const ACCOUNT = "111122223333";
const REGION = "us-east-1";

/** Where the Lambdas' binaries are, each named like its function. */
const BINARIES = "RECORDER_LAMBDA_BINARIES";

export class Deployment {
  /** What the stack of the backend tells. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
  readonly #place: Place;
  readonly #root: Keys;

  private constructor(
    place: Place,
    root: Keys,
    outputs: Readonly<Record<string, string>>,
    stop: () => Promise<void>,
  ) {
    this.#place = place;
    this.#root = root;
    this.outputs = outputs;
    this.stop = stop;
  }

  static async make(): Promise<Deployment> {
    const folder = mkdtempSync(join(tmpdir(), "recorder-deployed-"));
    const lambdas = packages(join(folder, "lambdas"));
    const ministack = await startMinistack({
      // It can sign a token that the user pool would not issue.
      launcher: join(repository, "tests/local-cloud/src/ministack.py"),
      variables: { AUTH: "true", MINISTACK_ACCOUNT_ID: ACCOUNT },
    });
    const {
      AWS_ACCESS_KEY_ID: accessKeyId = "",
      AWS_SECRET_ACCESS_KEY: secretAccessKey = "",
      AWS_ENDPOINT_URL: endpoint = "",
    } = ministack.environment;
    const place = { endpoint, region: REGION };
    const root = { accessKeyId, secretAccessKey };
    try {
      const outputs = await deploy(place, root, { folder, lambdas, ...ministack });
      const made = new Deployment(place, root, outputs, () => ministack.stop());
      await Promise.all([made.#tellLambdas(), made.#spellOrigins()]);
      return made;
    } catch (error) {
      await ministack.stop();
      throw error;
    }
  }

  output(name: string): string {
    const value = this.outputs[name];
    if (value === undefined) throw new Error(`the stack tells no ${name}`);
    return value;
  }

  /** A call of any service; of the account itself, if no other keys are given. */
  service(name: string, asked: Call, keys: Keys | undefined = this.#root): Promise<Answer> {
    return call(this.#place, name, asked, keys);
  }

  /** The same without a signature. */
  unsigned(name: string, asked: Call): Promise<Answer> {
    return call(this.#place, name, asked);
  }

  /** A call of the account itself that has to succeed, of a service that takes JSON. */
  async does(service: string, target: string, body: Json): Promise<Json> {
    return succeeded(target, await this.service(service, targeted(target, body)));
  }

  /** A call of the deployed HTTP API. */
  api(asked: Call, keys?: Keys): Promise<Answer> {
    const { port } = new URL(this.#place.endpoint);
    const here = { ...this.#place, host: `${this.#apiId()}.execute-api.localhost:${port}` };
    return call(here, "execute-api", asked, keys);
  }

  /** A token with these claims, signed with the key of the user pool. */
  async token(claims: Json): Promise<string> {
    const asked = {
      method: "POST",
      path: "/_test/tokens",
      body: JSON.stringify({ pool: this.output("userPoolId"), claims }),
    };
    const answer = await this.service("cognito-idp", asked);
    return String(at(succeeded("a token", answer), "token"));
  }

  /** Where the emulator is, and where the keys of its tokens are: they name AWS as issuer. */
  async #tellLambdas(): Promise<void> {
    const folder = "/2015-03-31/functions";
    const { endpoint } = this.#place;
    const told = {
      AWS_ENDPOINT_URL: endpoint,
      COGNITO_JWKS_URL: `${endpoint}/${this.output("userPoolId")}/.well-known/jwks.json`,
    };
    const known = await this.service("lambda", { method: "GET", path: folder });
    const functions = list(at(succeeded("ListFunctions", known), "Functions"));
    if (functions.length !== NAMES.length) throw new Error(`${functions.length} functions are there`);
    for (const one of functions) {
      const given = at(one, "Environment", "Variables");
      const variables = { ...(isObject(given) ? given : {}), ...told };
      const update = {
        method: "PUT",
        path: `${folder}/${String(at(one, "FunctionName"))}/configuration`,
        body: JSON.stringify({ Environment: { Variables: variables } }),
      };
      succeeded("UpdateFunctionConfiguration", await this.service("lambda", update));
    }
  }

  /**
   * The emulator keeps what the template says of origins, methods and headers under the
   * names that it has there, and looks for it under those of the API.
   */
  async #spellOrigins(): Promise<void> {
    const path = `/v2/apis/${this.#apiId()}`;
    const api = await this.service("apigateway", { method: "GET", path });
    const kept = at(succeeded("GetApi", api), "corsConfiguration");
    if (!isObject(kept)) throw new Error("the deployed API has no origins");
    const corsConfiguration = Object.fromEntries(
      Object.entries(kept).map(([name, value]) => [name.charAt(0).toLowerCase() + name.slice(1), value]),
    );
    const body = JSON.stringify({ corsConfiguration });
    const headers = { "content-type": "application/json" };
    const update = { method: "PATCH", path, headers, body };
    succeeded("UpdateApi", await this.service("apigateway", update));
  }

  #apiId(): string {
    const [id = ""] = new URL(this.output("recordingAPI")).host.split(".");
    return id;
  }
}

/** A call of a service that takes JSON. */
export function targeted(target: string, body: Json): Call {
  const version = target.startsWith("DynamoDB") ? "1.0" : "1.1";
  const headers = { "content-type": `application/x-amz-json-${version}`, "x-amz-target": target };
  return { method: "POST", path: "/", headers, body: JSON.stringify(body) };
}

export function succeeded(what: string, { status, text, body }: Answer): Json {
  if (status < 200 || status > 299) throw new Error(`${what} was refused with ${status}: ${text}`);
  return body;
}

const NAMES = Object.keys(RIGHTS).filter((holder) => holder !== "recorder");

/** For each Lambda what `./dev lambdas` makes, but it calls the binary of this machine. */
function packages(folder: string): string {
  const binaries = process.env[BINARIES];
  if (binaries === undefined || binaries === "") {
    throw new Error(`${BINARIES} is not set: it names the folder with the Lambdas' binaries`);
  }
  for (const name of NAMES) {
    const binary = join(binaries, name);
    if (!existsSync(binary)) throw new Error(`${binary} is missing: build the workspace first`);
    mkdirSync(join(folder, name), { recursive: true });
    const bootstrap = join(folder, name, "bootstrap");
    writeFileSync(bootstrap, `#!/bin/sh\nexec '${binary}'\n`);
    chmodSync(bootstrap, 0o755);
  }
  return folder;
}

interface Workshop {
  readonly folder: string;
  readonly lambdas: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What the stack of the backend tells when it is there. */
async function deploy(place: Place, root: Keys, shop: Workshop): Promise<Record<string, string>> {
  const { folder } = shop;
  await cdk(shop, ["bootstrap", `aws://${ACCOUNT}/${REGION}`]);
  // It refuses what comes without TLS, and so does everything on loopback.
  const bucket = `/cdk-hnb659fds-assets-${ACCOUNT}-${REGION}`;
  const open = { method: "DELETE", path: `${bucket}?policy=` };
  succeeded("DeleteBucketPolicy", await call(place, "s3", open, root));
  const told = join(folder, "outputs.json");
  await cdk(shop, ["deploy", "--all", "--require-approval=never", `--outputs-file=${told}`]);
  const stacks = JSON.parse(readFileSync(told, "utf8")) as Record<string, Record<string, string>>;
  return stacks["VideoCallEscalationBackend"] ?? {};
}

async function cdk({ folder, lambdas, environment }: Workshop, args: string[]): Promise<void> {
  const context = {
    emulated: "true",
    lambdas,
    config: join(project, "config.example.json"),
  };
  const child = spawn(
    join(project, "node_modules/.bin/cdk"),
    [
      ...args,
      ...Object.entries(context).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      `--output=${join(folder, "cdk.out")}`,
      "--no-notices",
      "--no-version-reporting",
    ],
    {
      cwd: project,
      env: {
        ...environment,
        AWS_CONFIG_FILE: "/nowhere",
        AWS_EC2_METADATA_DISABLED: "true",
        AWS_SHARED_CREDENTIALS_FILE: "/nowhere",
        // It would remember there for which account these keys are.
        CDK_HOME: join(folder, "cdk"),
        HOME: folder,
        PATH: process.env["PATH"],
        TMPDIR: process.env["TMPDIR"],
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`cdk ${args[0]} ended with ${code}:\n${said.slice(-4000)}`);
}
