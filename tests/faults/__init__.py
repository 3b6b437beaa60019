"""One of three killed under a load of servers and volumes: what fails, how long, and whether anything is lost."""
