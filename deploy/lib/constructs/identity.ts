/**
 * Who agents are: a user pool, its client, and the role that a signed-in agent
 * takes. It must not know what the role may do: that is with the API.
 */
import { Duration, RemovalPolicy } from "aws-cdk-lib";
import {
  AccountRecovery,
  CfnIdentityPool,
  CfnIdentityPoolRoleAttachment,
  ClientAttributes,
  Mfa,
  OAuthScope,
  ProviderAttribute,
  StringAttribute,
  UserPool,
  UserPoolClient,
  UserPoolClientIdentityProvider,
  UserPoolIdentityProviderSaml,
  UserPoolIdentityProviderSamlMetadata,
} from "aws-cdk-lib/aws-cognito";
import { Role, WebIdentityPrincipal } from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { APPLICATION } from "../names";
import type { SamlSettings } from "../settings";

/** A user's id in Connect. */
const CONNECT_USER_ID_LENGTH = 36;

export interface IdentityProps {
  readonly domainPrefix: string;
  readonly saml?: SamlSettings | undefined;
}

export class AgentIdentity extends Construct {
  readonly userPoolId: string;
  readonly userPoolClientId: string;
  readonly identityPoolId: string;
  readonly domainUrl: string;
  readonly authenticatedRole: Role;

  constructor(scope: Construct, id: string, { domainPrefix, saml }: IdentityProps) {
    super(scope, id);
    const pool = this.pool();
    const client = this.client(pool, saml);
    const identities = new CfnIdentityPool(this, "IdentityPool", {
      allowUnauthenticatedIdentities: false,
      cognitoIdentityProviders: [
        {
          clientId: client.userPoolClientId,
          providerName: pool.userPoolProviderName,
          serverSideTokenCheck: true,
        },
      ],
    });
    this.authenticatedRole = new Role(this, "AuthenticatedRole", {
      description: `${APPLICATION}: signed-in agents`,
      assumedBy: new WebIdentityPrincipal("cognito-identity.amazonaws.com", {
        StringEquals: { "cognito-identity.amazonaws.com:aud": identities.ref },
        "ForAnyValue:StringLike": { "cognito-identity.amazonaws.com:amr": "authenticated" },
      }),
    });
    new CfnIdentityPoolRoleAttachment(this, "Roles", {
      identityPoolId: identities.ref,
      roles: { authenticated: this.authenticatedRole.roleArn },
    });
    const domain = pool.addDomain("Domain", { cognitoDomain: { domainPrefix } });
    this.userPoolId = pool.userPoolId;
    this.userPoolClientId = client.userPoolClientId;
    this.identityPoolId = identities.ref;
    this.domainUrl = domain.baseUrl();
  }

  private pool(): UserPool {
    return new UserPool(this, "UserPool", {
      userPoolName: APPLICATION,
      selfSignUpEnabled: false,
      signInAliases: { email: true },
      autoVerify: { email: true },
      // Who somebody is in Connect goes by their address: a new one counts when it is theirs.
      keepOriginal: { email: true },
      standardAttributes: { email: { required: true, mutable: true } },
      customAttributes: {
        connectUserId: new StringAttribute({
          minLen: CONNECT_USER_ID_LENGTH,
          maxLen: CONNECT_USER_ID_LENGTH,
          mutable: true,
        }),
      },
      passwordPolicy: {
        minLength: 12,
        requireDigits: true,
        requireLowercase: true,
        requireSymbols: true,
        requireUppercase: true,
        tempPasswordValidity: Duration.days(7),
      },
      mfa: Mfa.OPTIONAL,
      mfaSecondFactor: { otp: true, sms: false },
      accountRecovery: AccountRecovery.EMAIL_ONLY,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }

  private client(pool: UserPool, saml: SamlSettings | undefined): UserPoolClient {
    const attributes = new ClientAttributes().withStandardAttributes({
      email: true,
      givenName: true,
      familyName: true,
    });
    const provider = saml === undefined ? undefined : this.provider(pool, saml);
    const client = new UserPoolClient(this, "UserPoolClient", {
      userPool: pool,
      userPoolClientName: `${APPLICATION}-agents`,
      generateSecret: false,
      preventUserExistenceErrors: true,
      authFlows: { userSrp: true },
      readAttributes: attributes.withCustomAttributes("connectUserId"),
      // Not the id in Connect: an agent could be another one then.
      writeAttributes: attributes,
      ...(saml === undefined
        ? { disableOAuth: true }
        : {
            oAuth: {
              flows: { authorizationCodeGrant: true },
              scopes: [OAuthScope.OPENID, OAuthScope.EMAIL, OAuthScope.PROFILE],
              callbackUrls: [...saml.callbackUrls],
              logoutUrls: [...saml.logoutUrls],
            },
          }),
      supportedIdentityProviders: [
        UserPoolClientIdentityProvider.COGNITO,
        ...(saml === undefined
          ? []
          : [UserPoolClientIdentityProvider.custom(saml.providerName)]),
      ],
    });
    if (provider !== undefined) client.node.addDependency(provider);
    return client;
  }

  private provider(pool: UserPool, saml: SamlSettings): UserPoolIdentityProviderSaml {
    return new UserPoolIdentityProviderSaml(this, "Saml", {
      userPool: pool,
      name: saml.providerName,
      metadata: UserPoolIdentityProviderSamlMetadata.url(saml.providerUrl),
      attributeMapping: {
        email: ProviderAttribute.other(
          "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        ),
      },
    });
  }
}
