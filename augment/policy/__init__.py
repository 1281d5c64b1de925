"""What is done to images: the table of transforms, policy expressions and policy files."""
