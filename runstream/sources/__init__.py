"""Where raw items come from: sockets, event streams over HTTP, polling, objects of the program."""
