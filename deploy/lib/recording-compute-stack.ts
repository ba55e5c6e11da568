/**
 * Network and instances of recordings, apart from what runs on them: an emulator of
 * AWS that knows no NAT gateways or capacity providers can do without.
 */
import { Fn, NestedStack } from "aws-cdk-lib";
import { CfnClusterCapacityProviderAssociations } from "aws-cdk-lib/aws-ecs";
import type { Construct } from "constructs";
import { RecordingFleet } from "./constructs/fleet";
import { RecordingNetwork, ZONES } from "./constructs/network";
import type { RecordingSettings } from "./settings";

/** Where tasks run, for whoever starts one. */
export interface Compute {
  /** What runs recordings. */
  readonly capacityProvider: string;
  /** Only on Fargate, where each task has a network interface of its own. */
  readonly taskNetwork?: TaskNetwork;
}

export interface TaskNetwork {
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
}

export interface RecordingComputeProps {
  readonly clusterName: string;
  readonly clusterArn: string;
  readonly recording: RecordingSettings;
}

export class RecordingComputeStack extends NestedStack implements Compute {
  readonly capacityProvider: string;
  readonly taskNetwork?: TaskNetwork;

  constructor(scope: Construct, id: string, props: RecordingComputeProps) {
    super(scope, id, { description: "Video call recording: network and instances" });
    const { clusterName, clusterArn, recording } = props;
    const { vpc, securityGroup } = new RecordingNetwork(this, "Network");
    if (recording.launchType === "FARGATE") {
      // Not FARGATE_SPOT, which takes a task back two minutes after it said so.
      this.capacityProvider = "FARGATE";
      this.taskNetwork = {
        subnetIds: vpc.privateSubnets.map(({ subnetId }) => subnetId),
        securityGroupIds: [securityGroup.securityGroupId],
      };
    } else {
      this.capacityProvider = new RecordingFleet(this, "Fleet", {
        vpc,
        securityGroup,
        clusterName,
        clusterArn,
        instanceType: recording.instanceType,
        minInstances: recording.minInstances,
        maxInstances: recording.maxInstances,
      }).capacityProvider;
    }
    new CfnClusterCapacityProviderAssociations(this, "Providers", {
      cluster: clusterName,
      capacityProviders: [this.capacityProvider],
      defaultCapacityProviderStrategy: [
        { capacityProvider: this.capacityProvider, weight: 1 },
      ],
    });
  }

  /** Looked up by CloudFormation, so that a template can be made without an account. */
  override get availabilityZones(): string[] {
    return Array.from({ length: ZONES }, (_, index) => Fn.select(index, Fn.getAzs()));
  }
}
