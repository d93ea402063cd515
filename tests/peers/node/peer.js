// SPDX-License-Identifier: ISC

// A gRPC client on grpc-js.
//
//   node peer.js interop ADDRESS PROTOS         gRPC's unary interop cases; PROTOS has grpc/testing
//   node peer.js story ADDRESS PROTOS SECONDS   one user's way through twostepd; PROTOS is the
//                                               project's, SECONDS the time by the daemon's clock
//   node peer.js code URI SECONDS               no gRPC: what otplib reads in a key URI, and its code
//   node peer.js load ADDRESSES CONFIG TOKEN REQUEST   GetLoginRequirement until standard input ends,
//                                               with commas between addresses, a service config and
//                                               the request in hexadecimal; one JSON line at the end
//
// With PEER_TLS_CA in the environment over TLS, with PEER_TLS_CERT and PEER_TLS_KEY, too, with a
// certificate of its own: names of files.
// One line a step, "ok NAME" or "not ok NAME: why"; exit 1 when one was not ok. Of code, one JSON object.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const otplib = require('otplib');
const uri = require('@otplib/uri');

const PATIENCE_MS = 30000;
const TINY_DEADLINE_MS = 1;
const REQUEST_SIZE = 271828;
const RESPONSE_SIZE = 314159;
const GZIP = 2; // of grpc.compressionAlgorithms
const PERIOD_S = 30;

function load(folder, files) {
  const options = { includeDirs: [folder], keepCase: true, enums: String, longs: Number, defaults: true };
  return grpc.loadPackageDefinition(loader.loadSync(files, options));
}

function credentials() {
  const [ca, cert, key] = ['CA', 'CERT', 'KEY'].map((name) => process.env[`PEER_TLS_${name}`])
    .map((file) => (file ? fs.readFileSync(file) : null));
  return ca ? grpc.credentials.createSsl(ca, key, cert) : grpc.credentials.createInsecure();
}

// One call: { error, response, initial, trailing }.
function call(client, method, request, { metadata = new grpc.Metadata(), patience = PATIENCE_MS, cancel = false } = {}) {
  return new Promise((resolve) => {
    const got = {};
    const c = client[method](request, metadata, { deadline: Date.now() + patience }, (error, response) => {
      Object.assign(got, { error, response });
    });
    c.on('metadata', (m) => { got.initial = m; });
    c.on('status', (s) => { got.trailing = s.metadata; setImmediate(resolve, got); });
    if (cancel) c.cancel();
  });
}

async function must(...args) {
  const got = await call(...args);
  assert.equal(got.error, null);
  return got;
}

async function mustFail(code, ...args) {
  const { error } = await call(...args);
  assert.ok(error, 'did not fail');
  assert.equal(grpc.status[error.code], code, error.message);
  return error;
}

async function runSteps(steps) {
  for (const [name, step] of steps) {
    try {
      await step();
      console.log(`ok ${name}`);
    } catch (e) {
      console.log(`not ok ${name}: ${String(e.message).split('\n').join(' ')}`);
      process.exitCode = 1;
    }
  }
}

// ---- interop ----

const large = (more = {}) => ({
  response_type: 'COMPRESSABLE',
  response_size: RESPONSE_SIZE,
  payload: { body: Buffer.alloc(REQUEST_SIZE) },
  ...more,
});

function checkLarge({ response }) {
  assert.equal(response.payload.body.length, RESPONSE_SIZE);
  assert.ok(response.payload.body.every((byte) => byte === 0));
}

function interop(address, protos) {
  const { testing } = load(protos, ['grpc/testing/test.proto']).grpc;
  const open = (Service, options) => new Service(address, credentials(), options);
  const client = open(testing.TestService);
  const zipping = open(testing.TestService, { 'grpc.default_compression_algorithm': GZIP });
  const elsewhere = open(testing.UnimplementedService);

  const statusStep = (message) => async () => {
    const request = { response_status: { code: 2, message } };
    assert.equal((await mustFail('UNKNOWN', client, 'UnaryCall', request)).details, message);
  };
  const steps = [
    ['empty_unary', () => must(client, 'EmptyCall', {})],
    ['large_unary', async () => checkLarge(await must(client, 'UnaryCall', large()))],
    ['status_code_and_message', statusStep('test status message')],
    ['special_status_message', statusStep('\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n')],
    ['custom_metadata', async () => {
      const [initial, trailing] = ['x-grpc-test-echo-initial', 'x-grpc-test-echo-trailing-bin'];
      const metadata = new grpc.Metadata();
      metadata.set(initial, 'test_initial_metadata_value');
      metadata.set(trailing, Buffer.from('ababab', 'hex'));
      const got = await must(client, 'UnaryCall', large(), { metadata });
      checkLarge(got);
      assert.deepEqual(got.initial.get(initial), metadata.get(initial));
      assert.deepEqual(got.trailing.get(trailing), metadata.get(trailing));
    }],
    ['unimplemented_method', () => mustFail('UNIMPLEMENTED', client, 'UnimplementedCall', {})],
    ['unimplemented_service', () => mustFail('UNIMPLEMENTED', elsewhere, 'UnimplementedCall', {})],
    ['client_compressed_unary', async () => {
      const expect = (value) => large({ expect_compressed: { value } });
      await mustFail('INVALID_ARGUMENT', client, 'UnaryCall', expect(true));
      checkLarge(await must(zipping, 'UnaryCall', expect(true)));
      checkLarge(await must(client, 'UnaryCall', expect(false)));
    }],
    ['server_compressed_unary', async () => {
      for (const value of [true, false])
        checkLarge(await must(client, 'UnaryCall', large({ response_compressed: { value } })));
    }],
    ['deadline', async () => {
      for (let i = 0; i < 20; i++) {
        const { error } = await call(client, 'UnaryCall', large(), { patience: TINY_DEADLINE_MS });
        assert.ok(error === null || error.code === grpc.status.DEADLINE_EXCEEDED, error?.message);
      }
      await must(client, 'EmptyCall', {});
    }],
    ['cancel', async () => {
      const { error } = await call(client, 'UnaryCall', large(), { cancel: true });
      assert.equal(error?.code, grpc.status.CANCELLED);
      await must(client, 'EmptyCall', {});
    }],
  ];
  return { steps, close: () => [client, zipping, elsewhere].forEach((c) => c.close()) };
}

// ---- story ----

function story(address, protos, seconds) {
  const api = load(protos, ['twostep/v1/twostep.proto', 'grpc/health/v1/health.proto']);
  const client = new api.twostep.v1.TwoStepService(address, credentials());
  const health = new api.grpc.health.v1.Health(address, credentials());
  const user = { tenant_id: 'node', user_id: 'ünal@example.org', channel: 'CHANNEL_WEB' };
  const login = { ...user, password_verified: true };
  const key = {}; // what the authenticator app holds
  const code = (stepsAhead) => otplib.generate({ ...key, epoch: seconds + stepsAhead * PERIOD_S });
  const verify = async (request, outcome) => {
    const { response } = await must(client, 'Verify', { ...login, ...request });
    assert.equal(response.outcome, `VERIFY_OUTCOME_${outcome}`);
  };
  const requirement = async (wanted) => {
    const { response } = await must(client, 'GetLoginRequirement', user);
    assert.equal(response.requirement, `LOGIN_REQUIREMENT_${wanted}`);
    assert.equal(response.may_remember_password, wanted === 'NOTHING');
  };
  let enrollment;
  const steps = [
    ['health', async () => assert.equal((await must(health, 'Check', {})).response.status, 'SERVING')],
    ['off', () => requirement('NOTHING')],
    ['switch_on', async () => {
      const request = { policy: { tenant_id: user.tenant_id, enabled: true, issuer: 'Ex&mple CRM' } };
      const { policy } = (await must(client, 'SetPolicy', request)).response;
      assert.deepEqual([policy.revision, policy.enabled, policy.digits], [1, true, 6]);
    }],
    ['asks_to_enroll', () => requirement('ENROLL')],
    ['enroll', async () => {
      enrollment = (await must(client, 'Enroll', login)).response;
      assert.equal(enrollment.qr_png.subarray(1, 4).toString(), 'PNG');
    }],
    ['key_uri', async () => {
      const { type, label, params } = uri.parse(enrollment.otpauth_uri);
      assert.deepEqual([type, label], ['totp', `Ex&mple CRM:${user.user_id}`]);
      assert.equal(params.issuer, 'Ex&mple CRM');
      assert.equal(params.secret, enrollment.secret_base32);
      for (const [name, usual] of [['algorithm', 'sha1'], ['digits', 6], ['period', PERIOD_S]])
        assert.equal(params[name] ?? usual, usual);
      key.secret = params.secret;
    }],
    ['confirm', async () => verify({ code: await code(0), enrollment_id: enrollment.enrollment_id }, 'ACCEPTED')],
    ['asks_for_a_code', () => requirement('CODE')],
    ['verify', async () => verify({ code: await code(1) }, 'ACCEPTED')],
    ['replay', async () => verify({ code: await code(1) }, 'REPLAYED_CODE')],
    ['field_named', async () => {
      const error = await mustFail('INVALID_ARGUMENT', client, 'Verify', { ...login, code: '12x456' });
      const [details] = error.metadata.get('grpc-status-details-bin');
      assert.ok(details.includes('type.googleapis.com/google.rpc.BadRequest'));
      assert.ok(details.includes('code'));
    }],
    ['unknown_reset', () => mustFail('NOT_FOUND', client, 'GetReset', { tenant_id: user.tenant_id, reset_id: 'x' })],
  ];
  return { steps, close: () => [client, health].forEach((c) => c.close()) };
}

// ---- code ----

async function code(keyUri, seconds) {
  const { type, label, params } = uri.parse(keyUri);
  const digits = await otplib.generate({ ...params, epoch: seconds });
  console.log(JSON.stringify({ type, label, params, code: digits }));
}

// ---- load ----

const LOAD_WORKERS = 4;
const LOAD_PATH = '/twostep.v1.TwoStepService/GetLoginRequirement';

async function press(addresses, config, token, request) {
  const client = new grpc.Client(`ipv4:${addresses}`, credentials(), {
    'grpc.service_config': config, 'grpc.ssl_target_name_override': 'localhost',
    'grpc.default_authority': 'localhost' });
  const raw = (bytes) => bytes;
  const message = Buffer.from(request, 'hex');
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const result = { good: 0, failed: {} };
  let stopped = false;
  process.stdin.on('end', () => { stopped = true; }).resume();
  const one = () => new Promise((resolve) => {
    client.makeUnaryRequest(LOAD_PATH, raw, raw, message, metadata, { deadline: Date.now() + PATIENCE_MS }, (error) => {
      if (error) result.failed[error.message] = (result.failed[error.message] ?? 0) + 1;
      else result.good += 1;
      setTimeout(resolve, 1);
    });
  });
  const worker = async () => { while (!stopped) await one(); };
  await Promise.all(Array.from({ length: LOAD_WORKERS }, worker));
  console.log(JSON.stringify(result));
  client.close();
}

async function main([what, ...args]) {
  const runs = { interop, story };
  if (what === 'load') return press(...args);
  if (what === 'code') return code(args[0], Number(args[1]));
  assert.ok(runs[what] && args.length >= 2, 'usage: node peer.js interop|story ADDRESS PROTOS [SECONDS]');
  const { steps, close } = runs[what](args[0], args[1], Number(args[2]));
  await runSteps(steps);
  return close();
}

main(process.argv.slice(2));
