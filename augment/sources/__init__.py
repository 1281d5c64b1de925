"""What images there are: folders, zips, arrays, lists and mixed datasets, read through one class."""
