"""What is said to a node, in Erlang: `Data` is bound to the data that go with it.

`rabbitmqctl eval` takes it over standard input. One such program costs what one start of the tool
does, half a second of a processor, whatever it asks.
"""

TAG = "daybreak"
"""Tag of the users that this charm has made; it gives no right."""

_REPLICATED = """\
Replicated = [Q || Q <- rabbit_amqqueue:list(),
  lists:member(amqqueue:get_type(Q), [rabbit_quorum_queue, rabbit_stream_queue])],
Replicas = fun(Q) -> maps:get(nodes, amqqueue:get_type_state(Q)) end,
"""

STATE = (
    _REPLICATED
    + """\
Text = fun(Nodes) -> [atom_to_binary(N) || N <- lists:sort(Nodes)] end,
Running = rabbit_nodes:list_running(),
Asked = erpc:multicall(Running, rabbit_upgrade_preparation, list_with_minimum_quorum_for_cli, [], 10000),
Critical = lists:usort([maps:get(<<"readable_name">>, Item) || {ok, Items} <- Asked, Item <- Items]),
Answer = #{
  members => Text(rabbit_nodes:list_members()),
  running => Text(Running),
  connected => Text([node() | nodes()]),
  partitioned => rabbit_node_monitor:partitions() =/= [],
  alarms => [#{what => atom_to_binary(What), node => atom_to_binary(Node)}
    || {{resource_limit, What, Node}, _} <- rabbit_alarm:get_alarms()],
  draining => rabbit_maintenance:is_being_drained_local_read(node()),
  handling => element(2, application:get_env(rabbit, cluster_partition_handling)),
  critical => length(Critical),
  replicas => [Text(Replicas(Q)) || Q <- Replicated],
  users => [#{name => internal_user:get_username(U), hash => base64:encode(internal_user:get_password_hash(U)),
      tags => [atom_to_binary(T) || T <- internal_user:get_tags(U)]}
    || U <- rabbit_auth_backend_internal:all_users()],
  vhosts => [vhost:get_name(V) || V <- rabbit_vhost:all()],
  permissions => [maps:from_list(P) || P <- rabbit_auth_backend_internal:list_permissions()]
},
io:format("~s~n", [rabbit_json:encode(Answer)]), done."""
)
"""Prints the state of the node and of its cluster as JSON."""

ACCOUNTS = """\
Actor = <<"daybreak">>,
Definitions = maps:get(<<"definitions">>, Data),
ok = rabbit_definitions:import_raw(iolist_to_binary(rabbit_json:encode(Definitions))),
[rabbit_auth_backend_internal:clear_permissions(U, V, Actor) || [U, V] <- maps:get(<<"revoke">>, Data)],
[rabbit_auth_backend_internal:delete_user(U, Actor) || U <- maps:get(<<"drop">>, Data)],
done."""
"""Imports `definitions`, takes rights (`revoke`, pairs of user and virtual host), drops users (`drop`)."""

REPLICAS = (
    _REPLICATED
    + """\
Stay = [binary_to_atom(N) || N <- maps:get(<<"stay">>, Data)],
Live = [N || N <- rabbit_nodes:list_running(), lists:member(N, Stay)],
Target = min(maps:get(<<"target">>, Data), length(Stay)),
Add = fun(rabbit_quorum_queue, V, Q, N) -> rabbit_quorum_queue:add_member(V, Q, N, voter, 15000);
         (rabbit_stream_queue, V, Q, N) -> rabbit_stream_queue:add_replica(V, Q, N) end,
Delete = fun(rabbit_quorum_queue, V, Q, N) -> rabbit_quorum_queue:delete_member(V, Q, N);
            (rabbit_stream_queue, V, Q, N) -> rabbit_stream_queue:delete_replica(V, Q, N) end,
Owed = fun(Q) -> Nodes = Replicas(Q), Kept = [N || N <- Nodes, lists:member(N, Stay)],
  length(Kept) < Target orelse length(Kept) < length(Nodes) end,
One = fun(Q) ->
  {resource, V, queue, Name} = amqqueue:get_name(Q),
  Type = amqqueue:get_type(Q), Nodes = Replicas(Q),
  Kept = [N || N <- Nodes, lists:member(N, Stay)],
  Free = Live -- Nodes,
  {First, Last} = lists:split(case Free of [] -> 0; _ -> erlang:phash2(Name, length(Free)) end, Free),
  New = lists:sublist(Last ++ First, max(0, Target - length(Kept))),
  Added = [N || N <- New, ok =:= (catch Add(Type, V, Name, N))],
  case length(Kept) + length(Added) >= Target of
    true -> [catch Delete(Type, V, Name, N) || N <- Nodes -- Kept];
    false -> wait
  end end,
lists:foreach(One, lists:sublist(lists:filter(Owed, Replicated), maps:get(<<"most">>, Data))),
done."""
)
"""Gives queues and streams `target` replicas on the nodes that `stay`, and then takes those elsewhere.

At most so many queues (`most`) at a time. A new replica of a quorum queue votes at once, so that the
next change is agreed by a majority that counts it.
"""

FORGET = 'rabbit_db_cluster:forget_member(binary_to_atom(maps:get(<<"node">>, Data)), false).'
REVIVE = "rabbit_maintenance:revive()."
RETREAT = """\
rabbit_maintenance:mark_as_being_drained(),
rabbit_maintenance:suspend_all_client_listeners(),
rabbit_maintenance:close_all_client_connections(),
done."""
"""Sends clients away from a node, and new queues elsewhere.

That is a drain (deps/rabbit/src/rabbit_maintenance.erl) without its end, which stops the replicas of the node: their
votes are needed to move them. Where two of three nodes had stopped theirs, no queue could be moved any more.
"""
HANDLING = """\
Nodes = [binary_to_atom(N) || N <- maps:get(<<"nodes">>, Data)],
erpc:multicall(Nodes, application, set_env,
  [rabbit, cluster_partition_handling, binary_to_atom(maps:get(<<"handling">>, Data))], 10000),
done."""
"""Has `nodes` take partitions by `handling`, until they start again."""
RETURNED = """\
Planned = [binary_to_atom(N) || N <- maps:get(<<"planned">>, Data)],
Handling = binary_to_atom(maps:get(<<"handling">>, Data)),
[case catch erpc:call(N, rabbit_nodes, list_members, [], 10000) -- Planned of
   [] -> erpc:call(N, application, set_env, [rabbit, cluster_partition_handling, Handling], 10000);
   _ -> others_leave_too
 end || N <- [binary_to_atom(N) || N <- maps:get(<<"nodes">>, Data)]],
done."""
"""Has `nodes` take partitions by `handling` again, when nobody but the `planned` is left."""
CLEAR_CACHE = "ssl:clear_pem_cache()."
"""Makes the next handshake read the certificate's files, which are kept in memory otherwise."""
