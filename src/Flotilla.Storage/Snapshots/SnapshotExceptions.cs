namespace Flotilla.Storage.Snapshots;

/// <summary>A snapshot of this node holds damage that no crash explains. The message names file and offset, and says how to rebuild the node from its peers.</summary>
public sealed class SnapshotCorruptException(string message) : IOException(message);

/// <summary>A snapshot is of a format version that this program does not know. Nothing was changed.</summary>
public sealed class SnapshotFormatException(string message) : IOException(message);

/// <summary>The log needs a snapshot that is not there. The message names the file that is missed, and says how to rebuild the node from its peers.</summary>
public sealed class SnapshotMissingException(string message) : IOException(message);

/// <summary>A snapshot that was received is not what was announced, or not whole. It is deleted; this node's own state is as good as before. The sender may try again.</summary>
public sealed class SnapshotRefusedException(string message) : IOException(message);
