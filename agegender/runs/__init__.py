"""The folders that training runs leave: made, known again, and gone on with."""
