#!/usr/bin/env node
// Sends one text through Postrider and follows it until it is final. grpc-js does not decode the
// details of an error, so this shows how.
//
//   npm install @grpc/grpc-js @grpc/proto-loader
//   export POSTRIDER_TOKEN=$(cat STATE_DIR/default.token)
//   node client/examples/node/send_and_follow.js +15551234567 +15550001111 'Hello'
//
// It ends with 0 when the text was delivered, 1 when it was not, 3 when the gateway refused it.
'use strict';

const {randomUUID} = require('node:crypto');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const protos = process.env.POSTRIDER_PROTOS || path.join(__dirname, '../../../proto');
const {postrider} = grpc.loadPackageDefinition(
    loader.loadSync('postrider/v1/message_service.proto',
                    {includeDirs: [protos], keepCase: true, enums: String, longs: String}));

const types = new protobuf.Root();
types.resolvePath = (origin, target) =>
    target.startsWith('google/protobuf/') ? target : path.join(protos, target);
types.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto'], {keepCase: true});

/** The google.rpc details of an error, as {type, ...fields}. */
function detailsOf(error) {
  const [bytes] = error.metadata ? error.metadata.get('grpc-status-details-bin') : [];
  if (!bytes) return [];
  const details = [];
  for (const packed of types.lookupType('google.rpc.Status').decode(bytes).details) {
    const type = packed.type_url.split('/').pop();
    const kind = types.lookup(type);
    if (kind) details.push({type, ...kind.toObject(kind.decode(packed.value), {defaults: true})});
  }
  return details;
}

function describe(error) {
  const lines = [`${grpc.status[error.code]}: ${error.details}`];
  for (const detail of detailsOf(error)) {
    if (detail.type === 'google.rpc.ErrorInfo') lines.push(`  reason: ${detail.reason}`);
    for (const v of detail.field_violations || []) {
      lines.push(`  field ${v.field}: ${v.description}`);
    }
  }
  return lines.join('\n');
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Repeats the call under the same request_id while the gateway is away. */
async function send(service, metadata, request) {
  request = {request_id: randomUUID(), ...request};
  for (let failures = 1;; ++failures) {
    try {
      return await new Promise((resolve, reject) => {
        const deadline = Date.now() + 10000;
        service.SendMessage(request, metadata, {deadline},
                            (error, response) => error ? reject(error) : resolve(response));
      });
    } catch (error) {
      const [pushback] = error.metadata ? error.metadata.get('grpc-retry-pushback-ms') : [];
      const never = pushback !== undefined && !/^\d+$/.test(pushback);
      if (error.code !== grpc.status.UNAVAILABLE || never || failures === 6) throw error;
      await pause(Number(pushback || 0) + Math.random() * 200 * 2 ** failures);
    }
  }
}

/** Calls `onChange` for every change until the message is final; resumes after a lost connection. */
async function follow(service, metadata, messageId, onChange) {
  const request = {message_ids: [messageId], until_final: true, include_snapshot: true};
  let seen = 0;
  for (let failures = 0;; ++failures) {
    let began = false;
    try {
      for await (const element of service.StreamStatus(request, metadata)) {
        began = true;
        failures = 0;
        // Covers this element and all before it, also inside of the snapshot.
        request.resume_token = element.resume_token;
        request.include_snapshot = false;
        const change = element.change || (element.snapshot && element.snapshot.status);
        if (change && change.revision > seen) {
          seen = change.revision;
          onChange(change);
        }
      }
      return;
    } catch (error) {
      // STREAM_TOO_SLOW overtakes the elements that are stuck, and so comes without details.
      const cut = began && error.code === grpc.status.RESOURCE_EXHAUSTED && !detailsOf(error).length;
      if ((error.code !== grpc.status.UNAVAILABLE && !cut) || failures === 6) throw error;
      await pause(Math.random() * 200 * 2 ** failures);
    }
  }
}

async function main([recipient, sender, text]) {
  if (!text) {
    console.error('usage: send_and_follow.js RECIPIENT SENDER TEXT');
    return 2;
  }
  const address = process.env.POSTRIDER_ADDRESS || '127.0.0.1:7070';
  const service = new postrider.v1.MessageService(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${process.env.POSTRIDER_TOKEN || ''}`);
  let state = '';
  try {
    const {message} = await send(service, metadata, {recipient, sender, text});
    console.log(`accepted ${message.message_id}`);
    await follow(service, metadata, message.message_id, (change) => {
      state = change.state;
      console.log(`${change.revision} ${state.replace('MESSAGE_STATE_', '')}` +
                  (change.final ? ' final' : ''));
    });
  } catch (error) {
    console.error(describe(error));
    return 3;
  } finally {
    service.close();
  }
  return state === 'MESSAGE_STATE_DELIVERED' ? 0 : 1;
}

main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
