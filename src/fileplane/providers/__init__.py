"""The providers: everything below the decision where a request goes, and above the socket."""
