"""In charge of the /processes dialect: names and comments of processes, one or all at once."""
