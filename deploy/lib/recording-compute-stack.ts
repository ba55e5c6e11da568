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

export interface RecordingComputeProps {
  readonly clusterName: string;
  readonly clusterArn: string;
  readonly recording: RecordingSettings;
}

export class RecordingComputeStack extends NestedStack {
  /** What runs recordings. */
  readonly capacityProvider: string;

  constructor(scope: Construct, id: string, props: RecordingComputeProps) {
    super(scope, id, { description: "Video call recording: network and instances" });
    const { clusterName, clusterArn, recording } = props;
    const { vpc, securityGroup } = new RecordingNetwork(this, "Network");
    this.capacityProvider =
      recording.launchType === "FARGATE"
        ? "FARGATE"
        : new RecordingFleet(this, "Fleet", {
            vpc,
            securityGroup,
            clusterName,
            clusterArn,
            instanceType: recording.instanceType,
            minInstances: recording.minInstances,
            maxInstances: recording.maxInstances,
          }).capacityProvider;
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
