"""Every figure of the book is drawn here, from one palette."""
