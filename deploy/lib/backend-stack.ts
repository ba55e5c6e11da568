/** The backend: it only joins its parts, and tells where they are. */
import { ArnFormat, CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import { Role, type IRole } from "aws-cdk-lib/aws-iam";
import { StringParameter } from "aws-cdk-lib/aws-ssm";
import type { Construct } from "constructs";
import { RecordsTable } from "./constructs/table";
import { IdentityStack } from "./identity-stack";
import { MonitoringStack } from "./monitoring-stack";
import { HIERARCHY, isAttached, tableName } from "./names";
import { RecordingApiStack } from "./recordingAPI-stack";
import { RecordingStack } from "./recording-stack";
import type { RecordingSettings, Settings } from "./settings";

export interface BackendProps extends StackProps {
  readonly settings: Settings;
}

/** Whose callers count. */
interface Identities {
  readonly userPoolId: string;
  readonly userPoolClientId: string;
  readonly authenticatedRole: IRole;
}

export class BackendStack extends Stack {
  constructor(scope: Construct, id: string, props: BackendProps) {
    super(scope, id, props);
    const { settings } = props;
    const existing = settings.recording?.existing;
    if (existing?.tableName === undefined) new RecordsTable(this, "DynamoDB");
    const identities = this.identities(settings);
    if (settings.recording !== undefined) {
      this.recording(settings, settings.recording, identities);
    }
    // A solution that this one is attached to has the parameter of that name.
    if (!isAttached(settings)) {
      new StringParameter(this, "StackName", {
        parameterName: `${HIERARCHY}outputParameters/CdkBackendStackName`,
        stringValue: this.stackName,
      });
    }
    this.tell("backendRegion", this.region);
    this.tell("userPoolId", identities.userPoolId);
    this.tell("userPoolWebClientId", identities.userPoolClientId);
  }

  private identities({ recording, saml, cognitoDomainPrefix }: Settings): Identities {
    const existing = recording?.existing;
    if (existing?.userPoolId === undefined) {
      const { identity } = new IdentityStack(this, "Identity", {
        domainPrefix: cognitoDomainPrefix,
        saml,
      });
      this.tell("identityPoolId", identity.identityPoolId);
      this.tell("cognitoDomainURL", identity.domainUrl);
      return identity;
    }
    const { userPoolId, userPoolClientId, authenticatedRoleArn } = existing;
    if (userPoolClientId === undefined || authenticatedRoleArn === undefined) {
      throw new Error("an existing user pool needs its client and the role of its users, too");
    }
    const authenticatedRole = Role.fromRoleArn(this, "AuthenticatedRole", authenticatedRoleArn);
    return { userPoolId, userPoolClientId, authenticatedRole };
  }

  private recording(
    settings: Settings,
    recording: RecordingSettings,
    identities: Identities,
  ): void {
    const table = tableName(settings);
    const made = new RecordingStack(this, "Recording", {
      settings,
      recording,
      tableName: table,
      tableArn: this.formatArn({
        service: "dynamodb",
        resource: "table",
        resourceName: table,
        arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
      }),
    });
    const api = new RecordingApiStack(this, "RecordingAPI", {
      settings,
      recording,
      tableName: table,
      bucketName: made.bucketName,
      clusterArn: made.clusterArn,
      taskDefinitionArn: made.task.definition.taskDefinitionArn,
      compute: made.compute,
      ...identities,
      things: {
        ...made.things,
        connectInstanceArn: settings.connectInstanceArn,
        userPoolArn: this.formatArn({
          service: "cognito-idp",
          resource: "userpool",
          resourceName: identities.userPoolId,
          arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
        }),
      },
    });
    new MonitoringStack(this, "Monitoring", {
      email: recording.alarmEmail,
      api: api.api.api,
      functions: [...api.functions, ...made.functions],
      taskLog: made.task.logGroup,
      capacityProvider: recording.launchType === "EC2" ? made.compute?.capacityProvider : undefined,
    });
    this.tell("recordingAPI", api.api.url);
    this.tell("recordingBucket", made.bucketName);
  }

  /** An output whose name is what it is called here, without a hash. */
  private tell(name: string, value: string): void {
    new CfnOutput(this, name, { value }).overrideLogicalId(name);
  }
}
