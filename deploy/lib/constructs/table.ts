/** The table of meetings, attendees and recordings; its items: docs/control-plane.md. */
import { RemovalPolicy } from "aws-cdk-lib";
import { AttributeType, BillingMode, Table, TableEncryption } from "aws-cdk-lib/aws-dynamodb";
import { Construct } from "constructs";
import { TABLE } from "../names";

export class RecordsTable extends Construct {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new Table(this, "Table", {
      tableName: TABLE,
      partitionKey: { name: "PK", type: AttributeType.STRING },
      sortKey: { name: "SK", type: AttributeType.STRING },
      timeToLiveAttribute: "TTL",
      billingMode: BillingMode.PAY_PER_REQUEST,
      encryption: TableEncryption.AWS_MANAGED,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      // It alone knows which recording is of which meeting, and who may play it. A
      // creation that fails leaves nothing behind, or the next one would fail, too.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
