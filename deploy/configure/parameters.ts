/**
 * The parameters of a deployment: which there are (config.params.json), what each may
 * be, and everything that is wrong with a set of values, at once.
 * It must not know where values come from, nor what they are used for.
 */
import params from "../config.params.json" with { type: "json" };

export interface Parameter {
  readonly name: string;
  readonly cliFormat: string;
  readonly description: string;
  readonly required: boolean;
  readonly defaultValue?: string;
  readonly boolean?: boolean;
  /** The boolean without which this one means nothing. */
  readonly parent?: string;
}

export type Values = Readonly<Record<string, string>>;

export const hierarchy = params.hierarchy;
export const parameters: readonly Parameter[] = params.parameters;

/** What stands in Parameter Store for no value; it takes no empty one. */
export const NOT_DEFINED = "not-defined";

/** Says what a value should be, if it is not that. */
type Check = (value: string) => string | undefined;

const like =
  (pattern: RegExp, mend: string): Check =>
  (value) =>
    pattern.test(value) ? undefined : mend;

const integer =
  (from: number, to: number): Check =>
  (value) =>
    /^\d{1,9}$/.test(value) && Number(value) >= from && Number(value) <= to
      ? undefined
      : `a whole number from ${from} to ${to}`;

const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(value) ? undefined : words.join(" or ");

const isUrl = (value: string): boolean =>
  URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);

const url: Check = (value) => (isUrl(value) ? undefined : "an address that begins with https://");

const urls: Check = (value) =>
  listOf(value).every(isUrl)
    ? undefined
    : "addresses that begin with https://, with commas between them";

const origins: Check = (value) =>
  value === "*" || listOf(value).every((one) => isUrl(one) && new URL(one).origin === one)
    ? undefined
    : "* or origins as https://agents.example.com, without a path or a / at the end, with commas between them";

const role = like(
  /^arn:aws[\w-]*:iam::\d{12}:role\/\S+$/,
  "the ARN of a role, as arn:aws:iam::111122223333:role/Name",
);
const id = like(
  /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  "an id as 01234567-89ab-4cde-8f01-23456789abcd: the last part of the address of its page in Amazon Connect",
);

const checks: Readonly<Record<string, Check>> = {
  connectInstanceARN: like(
    /^arn:aws[\w-]*:connect:[a-z0-9-]+:\d{12}:instance\/[0-9a-f-]{36}$/,
    "an ARN as arn:aws:connect:us-east-1:111122223333:instance/01234567-89ab-4cde-8f01-23456789abcd",
  ),
  connectInstanceURL: url,
  connectDefaultContactFlowId: id,
  cognitoDomainPrefix: (value) =>
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value) && !/aws|amazon|cognito/.test(value)
      ? undefined
      : "up to 63 lower-case letters, digits and -, without aws, amazon or cognito in it",
  agentAPIAllowedOrigins: origins,
  websiteAPIAllowedOrigins: origins,
  websiteAdHocRouteBaseURL: url,
  ccpLoginLambdaRoleToAssume: role,
  cognitoSAMLIdentityProviderURL: url,
  cognitoSAMLCallbackUrls: urls,
  cognitoSAMLLogoutUrls: urls,
  cdkPipelineSource: oneOf("codecommit", "codeconnections"),
  cdkPipelineConnectionArn: like(
    /^arn:aws[\w-]*:(codeconnections|codestar-connections):[a-z0-9-]+:\d{12}:connection\/[0-9a-f-]{36}$/,
    "the ARN of a connection, as the console shows it under Developer Tools, Settings, Connections",
  ),
  cdkPipelineRepositoryName: like(
    /^([\w.-]+\/)*[\w.-]{1,100}$/,
    "letters, digits, and ._-; for codeconnections owner/name",
  ),
  cdkPipelineRepositoryBranchName: like(/^[\w.\/-]+$/, "the name of a branch, as main"),
  cdkPipelineStageName: like(
    /^[A-Za-z][A-Za-z0-9-]*$/,
    "letters, digits and -, beginning with a letter, as Prod",
  ),
  recordingPlaybackSecurityProfileId: id,
  recordingAttendeeName: like(/^[^\p{Cc}]{1,64}$/u, "up to 64 characters"),
  // SigV4 signs for seven days at the most.
  recordingPresignedURLExpiresMinutes: integer(1, 7 * 24 * 60),
  recordingLaunchType: oneOf("EC2", "FARGATE"),
  recordingInstanceType: like(
    /^[a-z][a-z0-9-]*\.[a-z0-9-]+$/,
    "a type of EC2 instance, as c5.2xlarge",
  ),
  recordingMinInstances: integer(0, 5000),
  recordingMaxInstances: integer(1, 5000),
  recordingTaskCpu: integer(128, 196_608),
  recordingTaskMemory: integer(512, 1_000_000),
  recordingRetentionDays: integer(0, 36_500),
  recordingAlarmEmail: like(/^[^\s@]+@[^\s@]+$/, "an e-mail address"),
  existingTableName: like(/^[\w.-]{3,255}$/, "the name of a table, not its ARN"),
  existingUserPoolId: like(
    /^[\w-]+_[0-9a-zA-Z]+$/,
    "the id of a user pool, as us-east-1_AbCdEfGhI",
  ),
  existingUserPoolClientId: like(/^[\w+]{1,128}$/, "the id of an application client"),
  existingAuthenticatedRoleArn: role,
  existingBucketName: like(
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
    "the name of a bucket, not its ARN",
  ),
  existingKmsKeyArn: like(
    /^arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:key\/\S+$/,
    "the ARN of a key, not of an alias",
  ),
};

/** vCPU units that Fargate has, with the memory in MiB that each may have: from, to, step. */
const FARGATE_SIZES: Readonly<Record<string, readonly [number, number, number]>> = {
  1024: [2048, 8192, 1024],
  2048: [4096, 16_384, 1024],
  4096: [8192, 30_720, 1024],
  8192: [16_384, 61_440, 4096],
  16384: [32_768, 122_880, 8192],
};

export function listOf(value: string): readonly string[] {
  return value.split(",").map((one) => one.trim());
}

/** Without the path of Parameter Store, without what has no value, and with the defaults. */
export function withDefaults(values: Values): Record<string, string> {
  const known = new Set(parameters.map((parameter) => parameter.name));
  const result: Record<string, string> = {};
  for (const { name, defaultValue } of parameters) {
    if (defaultValue !== undefined) result[name] = defaultValue;
  }
  for (const [path, value] of Object.entries(values)) {
    const name = path.startsWith(hierarchy) ? path.slice(hierarchy.length) : path;
    const trimmed = value.trim();
    if (known.has(name) && trimmed !== "" && trimmed !== NOT_DEFINED) result[name] = trimmed;
  }
  return result;
}

/** Whether a parameter counts: one whose parent is not true is neither asked nor checked. */
export function applies(parameter: Parameter, values: Values): boolean {
  return parameter.parent === undefined || values[parameter.parent] === "true";
}

/** What is wrong with one value, as a sentence for the person who typed it. */
export function problemOf(parameter: Parameter, value: string): string | undefined {
  const check = parameter.boolean === true ? oneOf("true", "false") : checks[parameter.name];
  const mend = check?.(value);
  return mend === undefined ? undefined : wrong(parameter.name, `is "${value}"`, mend);
}

/** Everything that is wrong with the values of `withDefaults`. */
export function problems(values: Values): readonly string[] {
  const found: string[] = [];
  for (const parameter of parameters.filter((one) => applies(one, values))) {
    const value = values[parameter.name];
    if (value === undefined) {
      if (parameter.required)
        found.push(`Required parameter not provided: [${parameter.cliFormat}]`);
      continue;
    }
    const problem = problemOf(parameter, value);
    if (problem !== undefined) found.push(problem);
  }
  return found.length > 0 ? found : [...pipelineProblems(values), ...recordingProblems(values)];
}

function pipelineProblems(values: Values): readonly string[] {
  if (values["cdkPipelineEnabled"] !== "true" || values["cdkPipelineSource"] !== "codeconnections")
    return [];
  const found: string[] = [];
  if (values["cdkPipelineConnectionArn"] === undefined) {
    found.push(
      wrong(
        "cdkPipelineConnectionArn",
        "has no value",
        "the ARN of a connection, as the source is codeconnections",
      ),
    );
  }
  const repository = values["cdkPipelineRepositoryName"] ?? "";
  if (!repository.includes("/")) {
    found.push(
      wrong(
        "cdkPipelineRepositoryName",
        `is "${repository}"`,
        "owner/name, as the source is codeconnections",
      ),
    );
  }
  return found;
}

function recordingProblems(values: Values): readonly string[] {
  if (values["deployRecordingStack"] !== "true") return [];
  const found: string[] = [];
  const number = (name: string): number => Number(values[name]);
  if (values["recordingLaunchType"] === "FARGATE") found.push(...fargateProblems(values));
  else if (number("recordingMinInstances") > number("recordingMaxInstances")) {
    const most = values["recordingMaxInstances"];
    found.push(
      wrong(
        "recordingMinInstances",
        `is "${values["recordingMinInstances"]}"`,
        `not more than the ${most} instances of --recording-max-instances`,
      ),
    );
  }
  const attached = [
    "existingUserPoolId",
    "existingUserPoolClientId",
    "existingAuthenticatedRoleArn",
  ];
  const missing = attached.filter((name) => values[name] === undefined);
  if (missing.length < attached.length) {
    found.push(
      ...missing.map((name) =>
        wrong(
          name,
          "has no value",
          "set, as an existing user pool needs its id, its client and its role",
        ),
      ),
    );
  }
  return found;
}

function fargateProblems(values: Values): readonly string[] {
  const [cpu, memory] = [values["recordingTaskCpu"] ?? "", values["recordingTaskMemory"] ?? ""];
  const size = FARGATE_SIZES[cpu];
  if (size === undefined) {
    return [
      wrong(
        "recordingTaskCpu",
        `is "${cpu}"`,
        `${Object.keys(FARGATE_SIZES).join(", ")}: what Fargate has`,
      ),
    ];
  }
  const [from, to, step] = size;
  return Number(memory) >= from && Number(memory) <= to && (Number(memory) - from) % step === 0
    ? []
    : [
        wrong(
          "recordingTaskMemory",
          `is "${memory}"`,
          `${from} to ${to} in steps of ${step}: what Fargate has with ${cpu} CPU units`,
        ),
      ];
}

function wrong(name: string, what: string, mend: string): string {
  const parameter = parameters.find((one) => one.name === name);
  const cliFormat = parameter?.cliFormat ?? name;
  return `${name} ${what}; it should be ${mend}. Give it as --${cliFormat}=VALUE, or at the prompt of npm run configure`;
}
