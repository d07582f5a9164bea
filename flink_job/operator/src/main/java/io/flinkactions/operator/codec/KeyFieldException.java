package io.flinkactions.operator.codec;

import java.util.Collection;

/** A key field that a record does not have, or whose value cannot be a key. */
public final class KeyFieldException extends CodecException {

  private static final long serialVersionUID = 1L;

  private KeyFieldException(String message) {
    super(message);
  }

  static KeyFieldException unknown(String field, String recordType, Collection<String> available) {
    return new KeyFieldException(
        "key field '"
            + field
            + "' is not in "
            + recordType
            + "; its fields are "
            + available
            + ". Name one of them in key_by");
  }

  static KeyFieldException isNull(String field, String recordType) {
    return new KeyFieldException(
        "key field '"
            + field
            + "' of "
            + recordType
            + " is null; a key needs a value. Filter such records out, or"
            + " replace the null, before the operator");
  }

  static KeyFieldException unsupported(
      String field, String recordType, String valueType, Collection<String> available) {
    return new KeyFieldException(
        "key field '"
            + field
            + "' of "
            + recordType
            + " is of type "
            + valueType
            + ", which cannot be a key; keys are made of strings, integers, booleans and decimals."
            + " The fields are "
            + available
            + "; name another one in key_by, or turn it into a string before the operator");
  }

  static KeyFieldException unusableText(String field, String recordType, String why) {
    return new KeyFieldException("key field '" + field + "' of " + recordType + " " + why);
  }

  static KeyFieldException noFields(String recordType) {
    return new KeyFieldException(
        recordType
            + " has no named fields to choose a key from; use input_type=\"json\" if its records"
            + " are JSON objects, or key the stream yourself: stream.key_by(function,"
            + " key_type=Types.STRING())");
  }

  static KeyFieldException noneNamed(String recordType) {
    return new KeyFieldException(
        "no key for "
            + recordType
            + ": pass key_by=[\"field\", ...], or a stream that is keyed already");
  }

  static KeyFieldException notAnObject(String text) {
    return new KeyFieldException(
        "the key fields cannot be read, because the record is not a JSON object: "
            + excerpt(text)
            + ". With input_type=\"json\" every record must be one");
  }

  static KeyFieldException pickledKey() {
    return new KeyFieldException(
        "the stream is keyed by pickled objects, which have no equality outside Python; give the"
            + " key a type: stream.key_by(function, key_type=Types.STRING())");
  }
}
