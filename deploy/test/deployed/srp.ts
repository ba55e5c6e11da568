/**
 * The proof that one knows a password without sending it (SRP, as Cognito has it):
 * the only way to sign in that the deployed client of the user pool allows.
 * It must not know who signs in to what.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";

/** The group of RFC 5054 with 3072 bits. */
const N = BigInt(
  "0xFFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A0879" +
    "8E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B" +
    "0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA4836" +
    "1C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804" +
    "F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6" +
    "955817183995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64" +
    "ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D226" +
    "1AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2" +
    "08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
);
const G = 2n;
const K = number(hash(bytes(N), bytes(G)));

export interface Challenge {
  readonly poolId: string;
  readonly userId: string;
  readonly password: string;
  readonly salt: string;
  /** The server's public number, in hex. */
  readonly publicB: string;
  readonly secretBlock: string;
}

export class Srp {
  readonly #private = number(randomBytes(128)) % N;
  readonly #public = power(G, this.#private);

  /** What the server is told first, in hex. */
  get publicA(): string {
    return this.#public.toString(16);
  }

  /** What answers the challenge. */
  answer(challenge: Challenge, now: Date): { readonly timestamp: string; readonly signature: string } {
    const { userId, password, salt, secretBlock } = challenge;
    const pool = challenge.poolId.split("_")[1] ?? "";
    const b = BigInt(`0x${challenge.publicB}`);
    const u = number(hash(bytes(this.#public), bytes(b)));
    const inner = hash(Buffer.from(`${pool}${userId}:${password}`));
    const x = number(hash(bytes(BigInt(`0x${salt}`)), inner));
    const base = (((b - K * power(G, x)) % N) + N) % N;
    const secret = power(base, this.#private + u * x);
    const derived = hmac(hmac(bytes(u), bytes(secret)), "Caldera Derived Key\u0001");
    const timestamp = written(now);
    const proven = Buffer.concat([
      Buffer.from(`${pool}${userId}`),
      Buffer.from(secretBlock, "base64"),
      Buffer.from(timestamp),
    ]);
    return { timestamp, signature: hmac(derived.subarray(0, 16), proven).toString("base64") };
  }
}

/** As Cognito reads it: `Wed Nov 5 19:46:18 UTC 2025`. */
function written(now: Date): string {
  const [weekday = "", day, month, year, time] = now.toUTCString().split(" ");
  return `${weekday.slice(0, 3)} ${month} ${Number(day)} ${time} UTC ${year}`;
}

function power(base: bigint, exponent: bigint): bigint {
  let [result, square, left] = [1n, base % N, exponent];
  for (; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % N;
    square = (square * square) % N;
  }
  return result;
}

function hmac(key: Buffer, text: string | Buffer): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function hash(...parts: readonly Buffer[]): Buffer {
  return createHash("sha256").update(Buffer.concat(parts)).digest();
}

function number(of: Buffer): bigint {
  return BigInt(`0x${of.toString("hex")}`);
}

/** Big-endian; a first bit that is set has a zero byte before it, as it is no sign. */
function bytes(of: bigint): Buffer {
  const hex = of.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, "hex");
}
