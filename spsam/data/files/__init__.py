"""Single image files and DICOM series, with every check on what the image library passes over."""
