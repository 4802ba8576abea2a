"""narrows: narrow and general solutions to a fine-tuning task, trained and measured."""
