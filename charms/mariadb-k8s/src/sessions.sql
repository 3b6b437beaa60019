-- The sessions that the end of this server has to wait for, and those that may be closed; see writer.sql.
SELECT IF(p.COMMAND = 'Sleep' AND p.TIME_MS > 200 AND t.trx_id IS NULL, CONCAT('KILL ', p.ID, ';'), 'busy')
  FROM information_schema.PROCESSLIST p
    LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID
  WHERE p.HOST LIKE '%:%' AND p.USER <> 'system user';
