-- An opt-out is looked at again after it has reached the queue: what was accepted before it may be
-- committed after that.

SET LOCAL search_path = postrider;

ALTER TABLE opt_out_queue ADD COLUMN look_at timestamptz NOT NULL DEFAULT now();
COMMENT ON TABLE opt_out_queue IS 'Opt-outs that may have yet to reach what was queued before them, or came back to the queue: each is looked at at once, and again when what began before it has ended.';
COMMENT ON COLUMN opt_out_queue.since IS 'When it came in force, or a message to that recipient came back to the queue.';
COMMENT ON COLUMN opt_out_queue.look_at IS 'When the queue is looked through for it next.';
DROP INDEX opt_out_queue_oldest_of_a_slot;
CREATE INDEX opt_out_queue_next_of_a_slot ON opt_out_queue (slot, look_at);
