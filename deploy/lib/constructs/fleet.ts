/**
 * The instances that run recordings, and how many there are: an Auto Scaling group
 * that ECS scales and drains. It must not know what a recording is.
 */
import { Duration, Stack, Tags } from "aws-cdk-lib";
import {
  AutoScalingGroup,
  Signals,
  TerminationPolicy,
  type CfnAutoScalingGroup,
} from "aws-cdk-lib/aws-autoscaling";
import {
  BlockDeviceVolume,
  EbsDeviceVolumeType,
  InstanceType,
  LaunchTemplate,
  SubnetType,
  UserData,
  type ISecurityGroup,
  type IVpc,
} from "aws-cdk-lib/aws-ec2";
import { CfnCapacityProvider, EcsOptimizedImage } from "aws-cdk-lib/aws-ecs";
import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { APPLICATION } from "../names";
import { allow } from "../rights";
import worker from "../worker.json";

/** Room for the image, and for what every task may have to keep when S3 is away. */
const ROOT_VOLUME_GIB = 60;

/** A deployment fails if an instance does not come up in this time. */
const START_TIMEOUT = Duration.minutes(15);

const SUBNETS = { subnetType: SubnetType.PRIVATE_WITH_EGRESS } as const;

const SCALING = { minimumStep: 1, maximumStep: 2, targetPercent: 60 } as const;

export interface FleetProps {
  readonly vpc: IVpc;
  readonly securityGroup: ISecurityGroup;
  readonly clusterName: string;
  readonly clusterArn: string;
  readonly instanceType: string;
  readonly minInstances: number;
  readonly maxInstances: number;
}

export class RecordingFleet extends Construct {
  /** The name of the capacity provider. */
  readonly capacityProvider: string;

  constructor(scope: Construct, id: string, props: FleetProps) {
    super(scope, id);
    const userData = UserData.forLinux();
    const template = new LaunchTemplate(this, "Template", {
      instanceType: new InstanceType(props.instanceType),
      machineImage: EcsOptimizedImage.amazonLinux2023(),
      role: this.role(props),
      userData,
      securityGroup: props.securityGroup,
      associatePublicIpAddress: false,
      requireImdsv2: true,
      // The answer does not get as far as a container with a network of its own.
      httpPutResponseHopLimit: 1,
      detailedMonitoring: true,
      blockDevices: [
        {
          deviceName: "/dev/xvda",
          volume: BlockDeviceVolume.ebs(ROOT_VOLUME_GIB, {
            encrypted: true,
            volumeType: EbsDeviceVolumeType.GP3,
          }),
        },
      ],
    });
    // There is no update policy, on purpose: CloudFormation's rolling and replacing
    // updates end instances without asking who runs on them, and the newest image
    // alone is reason enough for an update. Instances that are there stay as they
    // are, new ones get the new template, and ECS, which knows its tasks, ends an
    // instance only when it is empty (protection from scale-in, managed draining).
    // An instance refresh (docs/operations.md) exchanges the others in the same way.
    const group = new AutoScalingGroup(this, "Group", {
      vpc: props.vpc,
      vpcSubnets: SUBNETS,
      launchTemplate: template,
      minCapacity: props.minInstances,
      maxCapacity: props.maxInstances,
      newInstancesProtectedFromScaleIn: true,
      terminationPolicies: [
        TerminationPolicy.OLDEST_LAUNCH_TEMPLATE,
        TerminationPolicy.DEFAULT,
      ],
      // Where none is always there, none can signal.
      ...(props.minInstances > 0 && {
        signals: Signals.waitForMinCapacity({ timeout: START_TIMEOUT }),
      }),
    });
    // An instance that comes up before its way out cannot signal.
    const { internetConnectivityEstablished } = props.vpc.selectSubnets(SUBNETS);
    group.node.addDependency(internetConnectivityEstablished);
    const resource = group.node.defaultChild as CfnAutoScalingGroup;
    resource.overrideLogicalId("RecordingECSAutoScalingGroup");
    // ECS sets it, too, and CloudFormation would take it away again.
    Tags.of(group).add("AmazonECSManaged", "");
    start(userData, props.clusterName, resource.logicalId, Stack.of(this));
    this.capacityProvider = new CfnCapacityProvider(this, "recordingECSCapacityProvider", {
      autoScalingGroupProvider: {
        autoScalingGroupArn: group.autoScalingGroupName,
        managedScaling: {
          status: "ENABLED",
          minimumScalingStepSize: SCALING.minimumStep,
          maximumScalingStepSize: SCALING.maximumStep,
          targetCapacity: SCALING.targetPercent,
        },
        managedTerminationProtection: "ENABLED",
        managedDraining: "ENABLED",
      },
    }).ref;
  }

  /** What the agent needs. Tasks have a role of their own, and so has their log. */
  private role({ clusterArn }: FleetProps): Role {
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("ec2.amazonaws.com"),
      description: `${APPLICATION}: instances of the recording cluster`,
    });
    const inCluster = { ArnEquals: { "ecs:cluster": clusterArn } };
    role.addToPolicy(
      allow(
        [
          "ecs:DeregisterContainerInstance",
          "ecs:RegisterContainerInstance",
          "ecs:SubmitAttachmentStateChanges",
          "ecs:SubmitContainerStateChange",
          "ecs:SubmitTaskStateChange",
        ],
        [clusterArn],
      ),
    );
    role.addToPolicy(
      allow(
        ["ecs:Poll", "ecs:StartTelemetrySession"],
        ["*"],
        inCluster,
      ),
    );
    // Neither is about a thing that could be named.
    role.addToPolicy(allow(["ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"], ["*"]));
    return role;
  }
}

/** What an instance does when it comes up. */
function start(userData: UserData, cluster: string, group: string, stack: Stack): void {
  userData.addCommands(
    "cat >>/etc/ecs/ecs.config <<'END'",
    `ECS_CLUSTER=${cluster}`,
    // The image is named by what is in it: one that is there is the right one.
    "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached",
    `ECS_CONTAINER_STOP_TIMEOUT=${worker.stopTimeoutSeconds}s`,
    "ECS_AWSVPC_BLOCK_IMDS=true",
    "END",
    "dnf install --assumeyes aws-cfn-bootstrap",
    // Once it has been up: the signal is what a deployment waits for.
    `/opt/aws/bin/cfn-signal --exit-code $? --stack ${stack.stackName} ` +
      `--resource ${group} --region ${stack.region}`,
  );
}
