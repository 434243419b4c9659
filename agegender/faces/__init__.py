"""Faces in ordinary photos: find them (MTCNN, computed by minidl), and align them as UTKFace's are."""
