// Reading fields of parsed JSON without exceptions.
#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace sinkstream {

// The field `name` of `object`; null if it is absent or `object` is no object.
inline const nlohmann::json* FindField(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

// The text of the field `name`; null if it is absent or no text.
inline const std::string* FindString(const nlohmann::json& object, const char* name) {
  const nlohmann::json* field = FindField(object, name);
  return field == nullptr ? nullptr : field->get_ptr<const std::string*>();
}

// True if the field is there and is this boolean.
inline bool HasBool(const nlohmann::json& object, const char* name, bool value) {
  const nlohmann::json* field = FindField(object, name);
  return field != nullptr && field->is_boolean() && field->get<bool>() == value;
}

// The field "type" of a component of tokenizer.json, for messages too: "null" for none.
inline std::string TypeOf(const nlohmann::json& component) {
  const nlohmann::json* type = FindField(component, "type");
  if (type != nullptr && type->is_string()) return type->get<std::string>();
  return component.is_null() ? "null" : "without type";
}

}  // namespace sinkstream
