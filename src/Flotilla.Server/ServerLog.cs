using Microsoft.Extensions.Logging;

namespace Flotilla.Server;

/// <summary>What the composition root logs. Event ids are stable: 3000 and up.</summary>
internal static partial class ServerLog
{
    [LoggerMessage(EventId = 3000, Level = LogLevel.Warning, Message = "{Difference} Give the flag its first value to end this warning; to start over with another, use an empty data directory on every node.")]
    public static partial void FlagIgnored(this ILogger log, string difference);
}
