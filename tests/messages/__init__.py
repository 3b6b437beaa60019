"""RabbitMQ under load: what becomes of confirmed messages while its units change or die."""
