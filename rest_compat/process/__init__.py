"""In charge of the /process dialect: processes whole, and everything that can be done to them."""
