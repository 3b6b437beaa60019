-- Whether this member is the writer; it becomes that when it is synced and the one before is no member any more. A member
-- that starts again has another UUID: it takes the role back from nobody. A donor of a copy goes on as the writer.
-- Then: sessions to close, because the proxy that they come through leaves. Idle is who has no transaction and has said
-- nothing for a while: in its application's pool, which opens another one.
SET SESSION innodb_lock_wait_timeout = 1, lock_wait_timeout = 1;
SELECT
    MAX(IF(VARIABLE_NAME = 'WSREP_GCOMM_UUID', VARIABLE_VALUE, NULL)),
    MAX(VARIABLE_NAME = 'WSREP_READY' AND VARIABLE_VALUE = 'ON'),
    MAX(VARIABLE_NAME = 'WSREP_CLUSTER_STATUS' AND VARIABLE_VALUE = 'Primary'),
    MAX(IF(VARIABLE_NAME = 'WSREP_LOCAL_STATE', VARIABLE_VALUE, NULL))
  INTO @uuid, @ready, @primary, @state FROM information_schema.GLOBAL_STATUS;
UPDATE daybreak.writer SET uuid = @uuid, node = @@wsrep_node_name
  WHERE @ready AND @primary AND @state = 4
    AND uuid NOT IN (SELECT UUID FROM information_schema.WSREP_MEMBERSHIP);
DELETE FROM daybreak.leaving WHERE node = @@wsrep_node_name;
SELECT 'writer' FROM daybreak.writer WHERE uuid = @uuid AND @ready AND @primary AND @state IN (2, 4);
SELECT CONCAT('KILL ', p.ID, ';')
  FROM daybreak.leaving l JOIN daybreak.writer w
    JOIN information_schema.PROCESSLIST p ON p.HOST LIKE CONCAT(l.address, ':%')
    LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
  WHERE w.uuid = @uuid AND l.at > UTC_TIMESTAMP() - INTERVAL 1 MINUTE AND p.COMMAND = 'Sleep' AND p.TIME_MS > 200 AND t.trx_id IS NULL;
