/**
 * Calls of an AWS emulator on loopback, signed (SigV4) or not, and how values are
 * written for its table. It must not know which services there are, nor the product.
 */
import { createHash, createHmac } from "node:crypto";
import { request } from "node:http";

import type { Json } from "../support/assembly";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Call {
  readonly method: string;
  /** With the query, whose names and values are letters and digits. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  /** With names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** Null where it is no JSON. */
  readonly body: Json;
}

export interface Place {
  /** Where the emulator is. */
  readonly endpoint: string;
  /** As the caller addresses it, if it is not the endpoint itself. */
  readonly host?: string;
  readonly region: string;
}

/** A call of a service: signed for it with keys, and not at all without. */
export async function call(
  { endpoint, host, region }: Place,
  service: string,
  asked: Call,
  keys?: Keys,
): Promise<Answer> {
  const { hostname, port, host: itself } = new URL(endpoint);
  const { body = "" } = asked;
  const bare: Record<string, string> = {
    ...asked.headers,
    host: host ?? itself,
    // With a DELETE node would send a body without it.
    ...(body !== "" && { "content-length": String(Buffer.byteLength(body)) }),
  };
  const headers = keys === undefined ? bare : signed(asked, bare, { service, region }, keys);
  return new Promise((resolve, reject) => {
    const sent = request(
      { hostname, port, method: asked.method, path: asked.path, headers },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        answer.once("error", reject);
        answer.once("end", () => {
          const { statusCode: status = 0, headers: told } = answer;
          resolve({ status, headers: told, text, body: json(text) });
        });
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}

interface Scope {
  readonly service: string;
  readonly region: string;
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function signed(
  { method, path, body = "" }: Call,
  bare: Readonly<Record<string, string>>,
  { service, region }: Scope,
  keys: Keys,
): Record<string, string> {
  const time = new Date().toISOString().replace(/[-:]|\.\d{3}/g, "");
  const payload = sha256(body);
  const headers: Record<string, string> = {
    ...bare,
    "x-amz-date": time,
    "x-amz-content-sha256": payload,
    ...(keys.sessionToken !== undefined && { "x-amz-security-token": keys.sessionToken }),
  };
  const names = Object.keys(headers).sort();
  const [route = "", query = ""] = path.split("?");
  const canonical = [
    method,
    route,
    query.split("&").sort().join("&"),
    ...names.map((name) => `${name}:${headers[name]?.trim()}`),
    "",
    names.join(";"),
    payload,
  ].join("\n");
  const scope = [time.slice(0, 8), region, service, "aws4_request"];
  const key = scope.reduce<string | Buffer>(
    (above, part) => hmac(above, part),
    `AWS4${keys.secretAccessKey}`,
  );
  const toSign = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical)].join("\n");
  const signature = hmac(key, toSign).toString("hex");
  const credential = `${keys.accessKeyId}/${scope.join("/")}`;
  headers["authorization"] =
    `AWS4-HMAC-SHA256 Credential=${credential}, ` +
    `SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return headers;
}

export function hmac(key: string | Buffer, text: string | Buffer): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function json(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return null;
  }
}

/** A value as DynamoDB writes it. */
export function attribute(value: Json): Json {
  if (value === null) return { NULL: true };
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  if (typeof value === "boolean") return { BOOL: value };
  if (Array.isArray(value)) return { L: (value as readonly Json[]).map(attribute) };
  return { M: attributes(value as { readonly [key: string]: Json }) };
}

export function attributes(values: { readonly [key: string]: Json }): Record<string, Json> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, attribute(value)]));
}
