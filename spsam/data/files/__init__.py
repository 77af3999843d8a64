"""Readers and writers of image files and DICOM series, with checks that libraries lack."""
