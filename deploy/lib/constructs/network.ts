/** The network of recordings: machines without public addresses, and the ways out. */
import {
  GatewayVpcEndpointAwsService,
  IpAddresses,
  SecurityGroup,
  SubnetType,
  Vpc,
} from "aws-cdk-lib/aws-ec2";
import { Construct } from "constructs";
import { APPLICATION } from "../names";

/** Change it where it overlaps with a network that this one has to reach. */
const CIDR = "10.5.0.0/16";

/** More zones hold more instances, and each has a NAT gateway of its own. */
export const ZONES = 2;

const SUBNET_MASK = 24;

export class RecordingNetwork extends Construct {
  readonly vpc: Vpc;
  readonly securityGroup: SecurityGroup;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.vpc = new Vpc(this, "recordingVPC", {
      ipAddresses: IpAddresses.cidr(CIDR),
      maxAzs: ZONES,
      natGateways: ZONES,
      subnetConfiguration: [
        {
          name: `${APPLICATION}-private-`,
          subnetType: SubnetType.PRIVATE_WITH_EGRESS,
          cidrMask: SUBNET_MASK,
        },
        {
          name: `${APPLICATION}-public-`,
          subnetType: SubnetType.PUBLIC,
          cidrMask: SUBNET_MASK,
          mapPublicIpOnLaunch: false,
        },
      ],
      // Recordings are most of the traffic, and these ways cost nothing.
      gatewayEndpoints: {
        S3: { service: GatewayVpcEndpointAwsService.S3 },
        DynamoDB: { service: GatewayVpcEndpointAwsService.DYNAMODB },
      },
    });
    this.securityGroup = new SecurityGroup(this, "recordingECSSecurityGroup", {
      vpc: this.vpc,
      securityGroupName: `${APPLICATION}-RecordingECSSecurityGroup`,
      description: "Recordings: everything out to the media servers of Chime, nothing in",
      allowAllOutbound: true,
    });
  }
}
