/**
 * What `npm run configure` stored, checked and typed.
 * It must not know where the parameters came from, nor AWS.
 */
import { listOf, problems, withDefaults, type Values } from "../configure/parameters";

export interface Settings {
  readonly connectInstanceArn: string;
  readonly connectInstanceUrl: string;
  readonly connectDefaultContactFlowId: string;
  readonly cognitoDomainPrefix: string;
  readonly agentApiAllowedOrigins: readonly string[];
  readonly websiteApiAllowedOrigins: readonly string[];
  readonly websiteAdHocRouteBaseUrl?: string;
  readonly saml?: SamlSettings;
  /** There if a pipeline deploys. */
  readonly pipeline?: PipelineSettings;
  /** There if calls can be recorded. */
  readonly recording?: RecordingSettings;
}

export interface SamlSettings {
  readonly providerUrl: string;
  readonly providerName: string;
  readonly callbackUrls: readonly string[];
  readonly logoutUrls: readonly string[];
  readonly ccpLoginRole: string;
}

export interface PipelineSettings {
  readonly source: "codecommit" | "codeconnections";
  readonly repositoryName: string;
  readonly branch: string;
  readonly createRepository: boolean;
  readonly connectionArn?: string;
  readonly stageName: string;
}

export interface RecordingSettings {
  readonly playbackSecurityProfileId: string;
  readonly attendeeName: string;
  readonly presignedUrlExpiresMinutes: number;
  readonly launchType: "EC2" | "FARGATE";
  readonly instanceType: string;
  readonly minInstances: number;
  readonly maxInstances: number;
  readonly taskCpu: number;
  readonly taskMemoryMiB: number;
  /** 0 keeps recordings for ever. */
  readonly retentionDays: number;
  readonly alarmEmail?: string;
  /** What is attached to instead of made. */
  readonly existing: ExistingResources;
}

export interface ExistingResources {
  readonly tableName?: string;
  readonly userPoolId?: string;
  readonly userPoolClientId?: string;
  readonly authenticatedRoleArn?: string;
  readonly bucketName?: string;
  readonly kmsKeyArn?: string;
}

/**
 * From the parameters, by name or by their path in Parameter Store; `not-defined`
 * counts as absent. Throws one error that names all that is wrong or missing.
 */
export function settingsFrom(parameters: Values): Settings {
  const values = withDefaults(parameters);
  const wrong = problems(values);
  if (wrong.length > 0) {
    const list = wrong.map((problem) => `  ${problem}`).join("\n");
    throw new Error(`The configuration is wrong; mend it with: npm run configure\n${list}`);
  }
  const reader = new Reader(values);
  return {
    connectInstanceArn: reader.text("connectInstanceARN"),
    connectInstanceUrl: reader.text("connectInstanceURL"),
    connectDefaultContactFlowId: reader.text("connectDefaultContactFlowId"),
    cognitoDomainPrefix: reader.text("cognitoDomainPrefix"),
    agentApiAllowedOrigins: reader.list("agentAPIAllowedOrigins"),
    websiteApiAllowedOrigins: reader.list("websiteAPIAllowedOrigins"),
    ...reader.optional("websiteAdHocRouteBaseUrl", "websiteAdHocRouteBaseURL"),
    ...(reader.flag("cognitoSAMLEnabled") && { saml: saml(reader) }),
    ...(reader.flag("cdkPipelineEnabled") && { pipeline: pipeline(reader) }),
    ...(reader.flag("deployRecordingStack") && { recording: recording(reader) }),
  };
}

function saml(reader: Reader): SamlSettings {
  return {
    providerUrl: reader.text("cognitoSAMLIdentityProviderURL"),
    providerName: reader.text("cognitoSAMLIdentityProviderName"),
    callbackUrls: reader.list("cognitoSAMLCallbackUrls"),
    logoutUrls: reader.list("cognitoSAMLLogoutUrls"),
    ccpLoginRole: reader.text("ccpLoginLambdaRoleToAssume"),
  };
}

function pipeline(reader: Reader): PipelineSettings {
  return {
    source:
      reader.text("cdkPipelineSource") === "codeconnections" ? "codeconnections" : "codecommit",
    repositoryName: reader.text("cdkPipelineRepositoryName"),
    branch: reader.text("cdkPipelineRepositoryBranchName"),
    createRepository: reader.flag("cdkPipelineCreateNewRepository"),
    ...reader.optional("connectionArn", "cdkPipelineConnectionArn"),
    stageName: reader.text("cdkPipelineStageName"),
  };
}

function recording(reader: Reader): RecordingSettings {
  return {
    playbackSecurityProfileId: reader.text("recordingPlaybackSecurityProfileId"),
    attendeeName: reader.text("recordingAttendeeName"),
    presignedUrlExpiresMinutes: reader.number("recordingPresignedURLExpiresMinutes"),
    launchType: reader.text("recordingLaunchType") === "FARGATE" ? "FARGATE" : "EC2",
    instanceType: reader.text("recordingInstanceType"),
    minInstances: reader.number("recordingMinInstances"),
    maxInstances: reader.number("recordingMaxInstances"),
    taskCpu: reader.number("recordingTaskCpu"),
    taskMemoryMiB: reader.number("recordingTaskMemory"),
    retentionDays: reader.number("recordingRetentionDays"),
    ...reader.optional("alarmEmail", "recordingAlarmEmail"),
    existing: {
      ...reader.optional("tableName", "existingTableName"),
      ...reader.optional("userPoolId", "existingUserPoolId"),
      ...reader.optional("userPoolClientId", "existingUserPoolClientId"),
      ...reader.optional("authenticatedRoleArn", "existingAuthenticatedRoleArn"),
      ...reader.optional("bucketName", "existingBucketName"),
      ...reader.optional("kmsKeyArn", "existingKmsKeyArn"),
    },
  };
}

/** Reads values that were found to be right. */
class Reader {
  readonly #values: Values;

  constructor(values: Values) {
    this.#values = values;
  }

  text(name: string): string {
    const value = this.#values[name];
    if (value === undefined)
      throw new Error(`${name} was not checked: config.params.json does not require it`);
    return value;
  }

  flag(name: string): boolean {
    return this.text(name) === "true";
  }

  number(name: string): number {
    return Number(this.text(name));
  }

  list(name: string): readonly string[] {
    return listOf(this.text(name));
  }

  /** A property of its own, or none, as an undefined one is not the same. */
  optional<Key extends string>(key: Key, name: string): { readonly [K in Key]?: string } {
    const value = this.#values[name];
    const found: { [K in Key]?: string } = {};
    if (value !== undefined) found[key] = value;
    return found;
  }
}
